// PyTorch's CPU generator: the 32-bit Mersenne Twister (Matsumoto & Nishimura, MT19937) and what torch makes of its draws.

export class MersenneTwister {
  readonly #state = new Uint32Array(624);
  #index = 624;

  /** Seeded as `torch.Generator().manual_seed(seed)`: the low 32 bits count. */
  constructor(seed: number) {
    const state = this.#state;
    state[0] = seed >>> 0;
    for (let i = 1; i < 624; i++) {
      const previous = state[i - 1]! ^ (state[i - 1]! >>> 30);
      state[i] = Math.imul(1812433253, previous) + i;
    }
  }

  /** 32 random bits. */
  next(): number {
    if (this.#index === 624) this.#refill();
    let y = this.#state[this.#index++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  }

  /** `tensor.uniform_(-bound, bound)` on float32: 24 bits a number, arithmetic in float32. */
  uniform(count: number, bound: number): Float32Array {
    const from = Math.fround(-bound);
    const range = Math.fround(Math.fround(bound) - from);
    return Float32Array.from({ length: count }, () => {
      const unit = (this.next() & 0xffffff) * 2 ** -24;
      // One rounding, as a fused multiply-add gives: the product of two 24-bit numbers is exact here.
      return Math.fround(unit * range + from);
    });
  }

  #refill(): void {
    const state = this.#state;
    for (let i = 0; i < 624; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % 624]! & 0x7fffffff);
      state[i] = state[(i + 397) % 624]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#index = 0;
  }
}
