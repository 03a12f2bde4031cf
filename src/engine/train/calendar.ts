// When a run does what: how many steps it has, which micro-batches make a step, where evaluations and checkpoints fall. Pure
// arithmetic over the batch plans of its epochs.
import type { Cadence, Recipe } from '../../protocol/recipe';
import { type BatchOptions, type BatchPlan, type Example, planBatches } from '../data';

export class Calendar {
  readonly totalSteps: number;
  /** Of the first epoch; packing may change it a little from epoch to epoch. */
  readonly stepsPerEpoch: number;
  readonly #plans = new Map<number, BatchPlan>();

  constructor(
    private readonly examples: readonly Example[],
    private readonly options: BatchOptions,
    private readonly recipe: Pick<Recipe, 'gradient_accumulation_steps' | 'num_train_epochs' | 'max_steps'>,
  ) {
    this.stepsPerEpoch = this.stepsOf(0);
    this.totalSteps = recipe.max_steps > 0 ? recipe.max_steps : this.#stepsOfEpochs(recipe.num_train_epochs);
  }

  /** The batches of an epoch; only the plan asked for last stays in memory. */
  plan(epoch: number): BatchPlan {
    let plan = this.#plans.get(epoch);
    if (!plan) {
      plan = planBatches(this.examples, this.options, epoch);
      this.#plans.clear();
      this.#plans.set(epoch, plan);
    }
    return plan;
  }

  /** Optimizer steps of an epoch; its last step may have fewer micro-batches. */
  stepsOf(epoch: number): number {
    return Math.ceil(this.plan(epoch).count / this.recipe.gradient_accumulation_steps);
  }

  #stepsOfEpochs(epochs: number): number {
    const whole = Math.floor(epochs);
    // Without packing every epoch has as many batches as the first.
    const steps = this.options.packing
      ? Array.from({ length: whole }, (_, epoch) => this.stepsOf(epoch)).reduce((sum, n) => sum + n, 0)
      : whole * this.stepsPerEpoch;
    return Math.max(1, steps + Math.round((epochs - whole) * this.stepsPerEpoch));
  }
}

/** Whether something with this cadence falls on a step. */
export function isDue(cadence: Cadence, every: number | null, step: number, epochEnded: boolean): boolean {
  if (cadence === 'steps') return every !== null && step % every === 0;
  return cadence === 'epoch' && epochEnded;
}
