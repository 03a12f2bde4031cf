// compose: several adapters of one model as one.
import { resolve } from 'node:path';
import { type CombinationType, combinationTypes } from '../../engine/adapters/combine';
import { RecipeError } from '../../engine/errors';
import type { WeightedAdapter } from '../../protocol/trainer';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { printable, type Terminal } from '../terminal';
import { TrainProgress } from '../trainProgress';

export interface ComposeOptions {
  model: string;
  adapter: WeightedAdapter[];
  weight?: string[];
  type: string;
  out: string;
  rank?: number;
  density: number;
  majoritySign: string;
  seed: number;
  peftScaling?: boolean;
  device: string;
  threads: number;
}

export async function compose(options: ComposeOptions, terminal: Terminal): Promise<number> {
  const progress = new TrainProgress(terminal);
  const result = await callTrainer(
    'compose',
    {
      model: resolve(options.model),
      adapters: options.adapter.map(({ folder, weight }, i) => ({
        folder,
        weight: weight * weightAt(options, i),
      })),
      type: oneOf('--type', options.type, combinationTypes) as CombinationType,
      out: resolve(options.out),
      rank: options.rank ?? null,
      density: options.density,
      majoritySign: oneOf('--majority-sign', options.majoritySign, ['total', 'frequency'] as const),
      seed: options.seed,
      scaledTwice: options.peftScaling === true,
      device: options.device,
      threads: options.threads,
    },
    terminal,
    { onInterrupt: 'kill', onEvent: (event) => progress.show(event) },
  );
  terminal.document(result);
  for (const warning of result.warnings) terminal.line(printable(warning));
  terminal.line(
    `${options.adapter.length} adapters as one of rank ${result.rank} on ${result.modules} modules in ${printable(result.out)}; ${result.exact ? 'the exact sum' : 'an approximation'}`,
  );
  return exitCodes.ok;
}

/** The weight of adapter i by --weight: given for all or for none; 1 without. */
function weightAt({ adapter, weight }: ComposeOptions, i: number): number {
  if (weight === undefined) return 1;
  const value = Number(weight[i]);
  if (weight.length === adapter.length && weight[i]!.trim() !== '' && Number.isFinite(value)) return value;
  throw new RecipeError({
    code: 'usage',
    message:
      weight.length === adapter.length
        ? `--weight takes a number, found "${weight[i]}".`
        : `There are ${adapter.length} adapters and ${weight.length} weights.`,
    remedy: 'Give one --weight for every --adapter, in the same order, or none.',
  });
}

function oneOf<T extends string>(option: string, value: string, known: readonly T[]): T {
  const found = known.find((item) => item === value);
  if (found !== undefined) return found;
  throw new RecipeError({
    code: 'usage',
    message: `${option} takes ${known.join(', ')}, found "${value}".`,
    remedy: 'Choose one of them.',
  });
}
