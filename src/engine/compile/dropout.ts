// Dropout that the seed fixes, on every device and after every resume. One pool of random bits is made per run and stays on
// the device; every mask is a window of it, at an offset that the host draws from (seed, step, site). That costs one copy
// and one selection per mask, where counting generators in the graph cost ten passes and uploads cost the bus.
//
// Windows of one pool overlap, so two masks may hold the same bits, shifted: at the same offset only once in four million
// draws. What dropout needs of a mask (each unit kept with probability 1−p, independent within the mask) holds exactly.
import { elements } from '../dtype';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import { Random } from '../random';
import type { DropoutSource } from './forward';

const offsetRange = 1 << 22;

/** Emits the masks of one graph and says which inputs it needs. */
export class PooledDropout implements DropoutSource {
  readonly #pool: Value;
  readonly #lengths: number[] = [];

  constructor(
    private readonly b: GraphBuilder,
    private readonly probability: number,
    poolLength: number,
  ) {
    this.#pool = b.input('dropout_pool', 'bool', [poolLength]);
  }

  /** Elements of every mask: where window N ends (`dropout_end.N`) after it starts (`dropout_offset.N`). */
  get lengths(): readonly number[] {
    return this.#lengths;
  }

  apply(x: Value): { value: Value; keepScale: number } {
    const { b } = this;
    const number = this.#lengths.length;
    const length = elements(x.shape);
    // Both ends are fed: adding them up on a device would bring the sum back to the host, with a wait for every mask.
    const offset = b.input(`dropout_offset.${number}`, 'int64', [1]);
    const end = b.input(`dropout_end.${number}`, 'int64', [1]);
    this.#lengths.push(length);
    const bits = b.op('Window', [this.#pool, offset, end], { length }, { keep: 'never' });
    const mask = b.reshape(bits, x.shape);
    const value = b.op('Where', [mask, x, b.scalar(0)], {}, { keep: 'cheap' });
    return { value, keepScale: 1 / (1 - this.probability) };
  }
}

/** Length of a pool that serves masks of up to `largestMask` elements. */
export function dropoutPoolLength(largestMask: number): number {
  return largestMask + offsetRange;
}

/** The pool: 1 where a unit is kept, with probability 1 − p. */
export function dropoutPool(seed: number, probability: number, length: number): Uint8Array {
  const pool = new Uint8Array(length);
  // xorshift128 seeded from the run's stream: 32 bits an element, fast enough for pools of 100 million.
  const random = new Random(seed, 'dropout-pool');
  let [x, y, z, w] = [random.next() | 1, random.next(), random.next(), random.next()];
  const limit = Math.floor(probability * 2 ** 32);
  for (let i = 0; i < length; i++) {
    const t = x ^ (x << 11);
    x = y;
    y = z;
    z = w;
    w = w ^ (w >>> 19) ^ (t ^ (t >>> 8));
    pool[i] = w >>> 0 >= limit ? 1 : 0;
  }
  return pool;
}

/** Where each of `masks` windows starts in micro-batch number `microStep` (counted over the whole run). */
export function dropoutOffsets(seed: number, microStep: number, masks: number): number[] {
  const random = new Random(seed, `dropout-offsets-${microStep}`);
  return Array.from({ length: masks }, () => random.below(offsetRange));
}
