// The optimizers of this version. A new one is a file here and a line below.
import { adamw } from './adamw';
import type { Optimizer } from './optimizer';

export const optimizers: readonly Optimizer[] = [adamw];

export function optimizerOf(id: string): Optimizer {
  const optimizer = optimizers.find((o) => o.id === id);
  if (!optimizer)
    throw new Error(`There is no optimizer ${id}; recipes are validated against the catalogue before.`);
  return optimizer;
}
