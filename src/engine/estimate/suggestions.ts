// Changes of a recipe that lower its memory, the smallest first, each with a forecast of its own. Changes that leave the
// result as it is (recomputation, smaller batches with more accumulation) come before those that do not.
import type { Recipe } from '../../protocol/recipe';
import type { Model } from '../models/architecture';

type Change = Partial<
  Pick<
    Recipe,
    | 'gradient_checkpointing'
    | 'per_device_train_batch_size'
    | 'gradient_accumulation_steps'
    | 'per_device_eval_batch_size'
    | 'max_length'
    | 'target_modules'
    | 'r'
    | 'adapter'
    | 'load_in_4bit'
  >
>;

export interface Suggestion {
  /** As one would write it in the recipe. */
  change: string;
  totalBytes: number;
}

/** Shortest length worth suggesting, in tokens. */
const shortestLength = 128;

/** Suggestions for a recipe that needs `totalBytes`; a knob is turned no further than it takes to fit into `available`. */
export function suggest(
  model: Model,
  recipe: Recipe,
  totalBytes: number,
  available: number,
  need: (recipe: Recipe) => number,
): Suggestion[] {
  const suggestions: Suggestion[] = [];
  let lowest = totalBytes;
  for (const { steps, together } of knobs(model, recipe)) {
    if (together && lowest <= available) continue;
    for (const change of steps) {
      const bytes = need({ ...recipe, ...change });
      if (bytes < totalBytes && (bytes <= available || bytes < lowest)) {
        suggestions.push({ change: written(change), totalBytes: bytes });
        lowest = Math.min(lowest, bytes);
      }
      if (bytes <= available) break;
    }
  }
  return suggestions;
}

interface Knob {
  /** From mild to harsh. */
  steps: Change[];
  /** Several settings at once, for when none of them is enough. */
  together?: boolean;
}

function knobs(model: Model, recipe: Recipe): Knob[] {
  const batches = halves(recipe.per_device_train_batch_size, 1).map(
    (rows): Change => ({
      per_device_train_batch_size: rows,
      gradient_accumulation_steps: Math.ceil(
        (recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps) / rows,
      ),
      ...(recipe.per_device_eval_batch_size > rows ? { per_device_eval_batch_size: rows } : {}),
    }),
  );
  const checkpointing = (['none', 'selective', 'full'] as const)
    .slice(['none', 'selective', 'full'].indexOf(recipe.gradient_checkpointing) + 1)
    .map((gradient_checkpointing): Change => ({ gradient_checkpointing }));
  const lengths = halves(Math.min(recipe.max_length, model.maxPositions), shortestLength).map(
    (max_length): Change => ({ max_length }),
  );
  const least: Change = { ...batches.at(-1), ...checkpointing.at(-1) };
  const full = recipe.adapter === 'none';
  const adapters: Change[] = full
    ? [{ adapter: 'lora' }]
    : [...halves(recipe.r, 4).map((r) => ({ r })), { target_modules: [...model.defaultTargets] }];
  return [
    { steps: checkpointing },
    { steps: batches },
    { steps: [least], together: true },
    { steps: full ? adapters : [] },
    { steps: full || recipe.load_in_4bit ? [] : [{ load_in_4bit: true }] },
    { steps: lengths },
    { steps: lengths.map((length) => ({ ...least, ...length })), together: true },
    { steps: full ? [] : adapters },
  ];
}

/** n/2, n/4, … down to `least`. */
function halves(n: number, least: number): number[] {
  const values: number[] = [];
  for (let half = Math.floor(n / 2); half >= least; half = Math.floor(half / 2)) values.push(half);
  return values;
}

function written(change: Change): string {
  return Object.entries(change)
    .map(([key, value]) => `${key}: ${Array.isArray(value) ? `[${value.join(', ')}]` : value}`)
    .join(', ');
}
