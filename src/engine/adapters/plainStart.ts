// For methods whose factors start by themselves: which values of init_lora_weights they take.
import type { Problem } from '../../protocol/errors';

/** Refuses starts that change the base, by name. */
export function plainStart(adapter: string, init: boolean | string): Problem[] {
  return typeof init === 'boolean' || init === 'gaussian' || init === 'orthogonal'
    ? []
    : [
        {
          where: 'init_lora_weights',
          message: `adapter ${adapter} does not combine with init_lora_weights: ${init}.`,
          remedy: 'Set init_lora_weights: true, or adapter: lora.',
        },
      ];
}
