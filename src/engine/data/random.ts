// Pseudo-random numbers that stay the same for ever and everywhere: shuffles and splits can be repeated from the seed alone.

/**
 * xoshiro128** (Blackman and Vigna, 2018) with its state filled by SplitMix32 from any number of integers. Changing it
 * would change every run's data order; do not.
 */
export class Random {
  private readonly state: Uint32Array;

  /** `keys`: integers that name the stream, for example seed, purpose and epoch. */
  constructor(...keys: number[]) {
    let mixed = 0x9e3779b9;
    for (const key of keys) {
      // Both halves count, so that seeds beyond 32 bits differ.
      mixed = mix(mixed ^ (key >>> 0));
      mixed = mix(mixed ^ (Math.floor(key / 2 ** 32) >>> 0));
    }
    this.state = new Uint32Array(4);
    for (let i = 0; i < 4; i++) {
      mixed = (mixed + 0x9e3779b9) >>> 0;
      this.state[i] = mix(mixed);
    }
    if (this.state.every((word) => word === 0)) this.state[0] = 1;
  }

  /** The next 32 random bits. */
  next(): number {
    const s = this.state;
    const result = Math.imul(rotate(Math.imul(s[1]!, 5), 7), 9) >>> 0;
    const shifted = s[1]! << 9;
    s[2]! ^= s[0]!;
    s[3]! ^= s[1]!;
    s[1]! ^= s[2]!;
    s[0]! ^= s[3]!;
    s[2]! ^= shifted;
    s[3] = rotate(s[3]!, 11);
    return result;
  }

  /** A whole number in [0, n), every one equally likely: values beyond the last full multiple of n are drawn again. */
  below(n: number): number {
    const limit = 2 ** 32 - (2 ** 32 % n);
    let value = this.next();
    while (value >= limit) value = this.next();
    return value % n;
  }

  /** Fisher–Yates, in place. */
  shuffle<T extends { length: number; [index: number]: number }>(items: T): T {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      const held = items[i]!;
      items[i] = items[j]!;
      items[j] = held;
    }
    return items;
  }
}

/** Streams that one seed feeds; their numbers are part of every run's reproducibility. */
export const streams = { epoch: 1, packs: 2, split: 3 } as const;

/** The finaliser of SplitMix32. */
function mix(value: number): number {
  let z = value >>> 0;
  z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
  z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
  return (z ^ (z >>> 16)) >>> 0;
}

function rotate(value: number, bits: number): number {
  return ((value << bits) | (value >>> (32 - bits))) >>> 0;
}
