// Learning rate by step, as transformers.get_scheduler computes it.
import type { Recipe, Schedule } from '../../protocol/recipe';

/** Multiplier of the base rate for the update after `done` updates, of `total`, the first `warmup` of them rising. */
const shapes: Record<Schedule, (done: number, warmup: number, total: number) => number> = {
  constant: () => 1,
  constant_with_warmup: (done, warmup) => Math.min(1, done / Math.max(1, warmup)),
  linear: (done, warmup, total) =>
    done < warmup ? done / Math.max(1, warmup) : Math.max(0, (total - done) / Math.max(1, total - warmup)),
  cosine: (done, warmup, total) => {
    if (done < warmup) return done / Math.max(1, warmup);
    const progress = (done - warmup) / Math.max(1, total - warmup);
    return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
  },
};

/** Warm-up updates: `warmup_steps` where it is set, else the ratio of all updates, rounded up. */
export function warmupSteps(
  recipe: Pick<Recipe, 'warmup_steps' | 'warmup_ratio'>,
  totalSteps: number,
): number {
  return recipe.warmup_steps > 0 ? recipe.warmup_steps : Math.ceil(recipe.warmup_ratio * totalSteps);
}

/** The rate of update number `step`, counted from 1. */
export function learningRateAt(
  recipe: Pick<Recipe, 'learning_rate' | 'lr_scheduler_type' | 'warmup_steps' | 'warmup_ratio'>,
  step: number,
  totalSteps: number,
): number {
  const warmup = warmupSteps(recipe, totalSteps);
  return recipe.learning_rate * shapes[recipe.lr_scheduler_type](step - 1, warmup, totalSteps);
}
