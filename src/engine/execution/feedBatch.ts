// Puts a batch into a program's inputs.
import type { Batch } from '../data';
import type { Program } from './program';

/** Feeds a batch; every trained token weighs `weight`. */
export function feedBatch(program: Program, batch: Batch, weight: number): void {
  program.feed('ids', toInt64(batch.ids));
  program.feed('positions', toInt64(batch.positions));
  program.feed('segments', toInt64(batch.segments));
  const weights = Float32Array.from(batch.targets, (target) => (target < 0 ? 0 : weight));
  program.feed('targets', toInt64(batch.targets.map((target) => Math.max(0, target))));
  program.feed('weights', weights);
}

export function toInt64(values: Int32Array): BigInt64Array {
  // Two halves of 32 bits, the lower one first: all platforms of the runtime are little-endian. BigInts would be 20 times slower.
  const halves = new Int32Array(2 * values.length);
  for (let i = 0; i < values.length; i++) {
    halves[2 * i] = values[i]!;
    halves[2 * i + 1] = values[i]! >> 31;
  }
  return new BigInt64Array(halves.buffer);
}
