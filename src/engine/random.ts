// Random numbers that a seed fixes for ever, on every machine: PCG-XSH-RR 64/32 (M. O'Neill, 2014). Streams keep users of one
// seed (shuffling, initialisation, dropout) independent of each other.

const multiplier = 6364136223846793005n;
const mask64 = (1n << 64n) - 1n;

export class Random {
  #state: bigint;
  readonly #increment: bigint;
  #spare: number | undefined;

  /** @param stream an id of the use, so that two uses of one seed do not see the same numbers. */
  constructor(seed: number, stream: string | number = 0) {
    this.#increment = ((BigInt(typeof stream === 'number' ? stream : hashText(stream)) << 1n) | 1n) & mask64;
    this.#state = 0n;
    this.bits();
    this.#state = (this.#state + BigInt(Math.trunc(seed))) & mask64;
    this.bits();
  }

  /** 32 random bits as an unsigned number. */
  bits(): number {
    const old = this.#state;
    this.#state = (old * multiplier + this.#increment) & mask64;
    const shifted = Number((((old >> 18n) ^ old) >> 27n) & 0xffffffffn);
    const rotation = Number(old >> 59n);
    return ((shifted >>> rotation) | (shifted << (-rotation & 31))) >>> 0;
  }

  /** Uniform in [0, 1), 32 bits of resolution. */
  uniform(): number {
    return this.bits() / 2 ** 32;
  }

  /** Whole number in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.uniform() * limit);
  }

  /** Standard normal, by Box and Muller. */
  normal(): number {
    if (this.#spare !== undefined) {
      const value = this.#spare;
      this.#spare = undefined;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform()));
    const angle = 2 * Math.PI * this.uniform();
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

/** A 32-bit number that stands for a text (FNV-1a). */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}
