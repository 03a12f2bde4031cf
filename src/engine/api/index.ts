// The engine's calls, one function each, for the trainer process.
import type { EngineApi, TrainerMethod } from '../../protocol/trainer';
import { RunError } from '../errors';

function notYet<M extends TrainerMethod>(method: M): EngineApi[M] {
  const call = async (): Promise<never> => {
    throw new RunError({
      code: 'not-available',
      message: `${method} is not available in this version.`,
      remedy: 'Update to a version that has it.',
    });
  };
  return call as EngineApi[M];
}

export { train } from '../train/run';
export { evaluate } from './evaluate';
export { generate } from './generate';
export { merge } from './merge';
export const estimate = notYet('estimate');
export const inspect = notYet('inspect');
export const doctor = notYet('doctor');
