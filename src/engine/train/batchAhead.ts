// Lays out the next step's batches while the device works on this one. What it gives is what the plan gives: a batch is a pure
// function of the plan and its number, so that order and resuming know nothing of it.
import type { Batch, BatchPlan } from '../data';

export class BatchAhead {
  #made: { plan: BatchPlan; from: number; batches: Batch[] } | undefined;

  /** The batches of a plan from `from` up to `end`. */
  take(plan: BatchPlan, from: number, end: number): Batch[] {
    const made = this.#made;
    this.#made = undefined;
    if (made?.plan === plan && made.from === from && made.batches.length === end - from) return made.batches;
    return laidOut(plan, from, end);
  }

  /** Lays out what `take` will be asked for, once the work that was just started is under way. Nothing beyond the plan's end. */
  async prepare(plan: BatchPlan, from: number, count: number): Promise<void> {
    const end = Math.min(plan.count, from + count);
    if (from >= end) return;
    // The call that was started copies its inputs first; after this turn of the loop the device has them.
    await new Promise((resolve) => setImmediate(resolve));
    this.#made = { plan, from, batches: laidOut(plan, from, end) };
  }
}

function laidOut(plan: BatchPlan, from: number, end: number): Batch[] {
  return Array.from({ length: end - from }, (_, i) => plan.batch(from + i));
}
