// What to change in the recipe of a run that ran out of memory: of each setting that lowers memory the mildest change, those
// first that leave the result as it is. Whether it is enough, the form's forecast says. Pure.
import type { RunRemedy } from '../../protocol/panels/run';
import type { Recipe } from '../../protocol/recipe';

/** Shortest length worth suggesting, in tokens. */
const shortestLength = 128;

export function memoryRemedies(recipe: Recipe): RunRemedy[] {
  const remedies: RunRemedy[] = [];
  const { per_device_train_batch_size: rows, gradient_checkpointing: kept } = recipe;
  if (rows > 1) {
    const half = Math.floor(rows / 2);
    remedies.push({
      edits: [
        { key: 'per_device_train_batch_size', value: half },
        {
          key: 'gradient_accumulation_steps',
          value: Math.ceil((rows * recipe.gradient_accumulation_steps) / half),
        },
        ...(recipe.per_device_eval_batch_size > half
          ? [{ key: 'per_device_eval_batch_size', value: half }]
          : []),
      ],
      sameResult: (rows * recipe.gradient_accumulation_steps) % half === 0,
    });
  }
  if (kept !== 'full') {
    const more = kept === 'none' ? 'selective' : 'full';
    remedies.push({ edits: [{ key: 'gradient_checkpointing', value: more }], sameResult: true });
  }
  if (recipe.adapter !== 'none' && !recipe.load_in_4bit)
    remedies.push({ edits: [{ key: 'load_in_4bit', value: true }], sameResult: false });
  if (recipe.max_length >= 2 * shortestLength) {
    const value = Math.floor(recipe.max_length / 2);
    remedies.push({ edits: [{ key: 'max_length', value }], sameResult: false });
  }
  return remedies;
}
