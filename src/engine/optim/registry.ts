// The optimizers of this version. A new one is a file here and a line below.
import type { PlannedTensor } from '../adapters/variant';
import { planSlabs, type Slab } from '../compile/slabs';
import { byteSize } from '../dtype';
import { RecipeError, raiseProblems } from '../errors';
import { chosenEntry } from '../recipe/catalogue';
import { adamw } from './adamw';
import { adamw8bit } from './adamw8bit';
import { galore } from './galore';
import { galore8bit } from './galore8bit';
import type { Optimizer, OptimizerSettings } from './optimizer';
import { pagedAdamw8bit, pagedAdamw32bit } from './pagedAdamw';
import { sgd } from './sgd';

export const optimizers: readonly Optimizer[] = [
  adamw,
  adamw8bit,
  pagedAdamw32bit,
  pagedAdamw8bit,
  galore,
  galore8bit,
  sgd,
];

export function optimizerOf(id: string): Optimizer {
  const optimizer = optimizers.find(({ entry }) => chosenEntry([entry], id));
  if (!optimizer)
    throw new Error(`There is no optimizer ${id}; recipes are validated against the catalogue before.`);
  return optimizer;
}

/**
 * The slabs of what a run trains, as its optimizer wants them.
 * @throws RecipeError where the optimizer does not fit the tensors, with every one.
 */
export function slabsFor(tensors: readonly PlannedTensor[], settings: OptimizerSettings): Slab[] {
  const optimizer = optimizerOf(settings.optim);
  raiseProblems(
    RecipeError,
    'optimizer-does-not-fit',
    `optim: ${settings.optim} does not fit this model:`,
    optimizer.check?.(
      tensors.filter(({ frozen }) => !frozen),
      settings,
    ) ?? [],
  );
  return planSlabs(tensors, optimizer.layout && ((tensor) => optimizer.layout!(tensor, settings)));
}

/** Bytes of one slab's state. */
export function stateBytes(slab: Slab, settings: OptimizerSettings): number {
  if (slab.frozen) return 0;
  const slots = optimizerOf(settings.optim).slots(slab, settings);
  return slots.reduce((sum, { dtype, shape }) => sum + byteSize(dtype, shape), 0);
}
