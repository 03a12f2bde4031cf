// Puts a batch into a program's inputs.
import type { Batch } from '../data';
import type { Program } from './program';

/** Feeds a batch; every trained token weighs `weight`. */
export function feedBatch(program: Program, batch: Batch, weight: number): void {
  program.feed('ids', toInt64(batch.ids));
  program.feed('positions', toInt64(batch.positions));
  program.feed('segments', toInt64(batch.segments));
  const targets = new BigInt64Array(batch.targets.length);
  const weights = new Float32Array(batch.targets.length);
  batch.targets.forEach((target, i) => {
    if (target < 0) return;
    targets[i] = BigInt(target);
    weights[i] = weight;
  });
  program.feed('targets', targets);
  program.feed('weights', weights);
}

export function toInt64(values: Int32Array): BigInt64Array {
  return BigInt64Array.from(values, BigInt);
}
