// For methods whose factors start by themselves: which values of init_lora_weights they take.
import type { Problem } from '../../protocol/errors';
import { initialisationOf } from './initialisations/registry';

/**
 * Refuses starts that change the base, by name.
 * @param directions whether A may start from the data where the base stays as it is.
 */
export function plainStart(adapter: string, init: boolean | string, directions = false): Problem[] {
  const { fromBase } = initialisationOf(init);
  if (!fromBase || (directions && fromBase.base === 'kept')) return [];
  return [
    {
      where: 'init_lora_weights',
      message: `adapter ${adapter} does not combine with init_lora_weights: ${init}.`,
      remedy: 'Set init_lora_weights: true, or adapter: lora.',
    },
  ];
}
