// The code books of quantised values, bit-equal to bitsandbytes': NF4 (Dettmers et al., arXiv 2305.14314), FP4 and the 8-bit
// "dynamic" code of double quantisation; and the search for the nearest code. Knows no tensors.

export type QuantType = 'nf4' | 'fp4';

/** A code book of 16 float32 values by code, and the codes in rising order of their values. */
export interface CodeBook {
  values: Float32Array;
  order: readonly number[];
  /** Halfway between neighbours in that order. */
  midpoints: Float32Array;
}

/** Quantiles of the normal distribution, scaled to [−1, 1]. */
const nf4 = [
  -1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
  -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725,
  0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1,
];
/** One sign bit, two of exponent, one of mantissa; in twelfths. */
const fp4 = [0, 0.0625, 8, 12, 4, 6, 2, 3, 0, -0.0625, -8, -12, -4, -6, -2, -3].map((value) => value / 12);

export const codeBooks: Readonly<Record<QuantType, CodeBook>> = {
  nf4: codeBook(
    nf4,
    nf4.map((_, code) => code),
  ),
  // The two zeros stand as bitsandbytes sorts them: the smallest positive values get code 8.
  fp4: codeBook(fp4, [11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3]),
};

function codeBook(list: readonly number[], order: readonly number[]): CodeBook {
  const values = Float32Array.from(list);
  const midpoints = Float32Array.from(order.slice(1), (code, i) =>
    Math.fround((values[order[i]!]! + values[code]!) / 2),
  );
  return { values, order, midpoints };
}

/**
 * The 8-bit signed "dynamic" code: for i = 0…6 the midpoints of 2^i + 1 equally spaced points on [0.1, 1], times 10^(i−6),
 * with both signs; and 0 and 1. From the smallest up; 256 values.
 */
export const dynamicCodes: Float32Array = (() => {
  const f = Math.fround;
  const values: number[] = [0, 1];
  for (let i = 0; i < 7; i++) {
    const points = 2 ** i;
    const scale = f(10 ** (i - 6));
    // PyTorch’s linspace in float32: from both ends towards the middle, rounded once; the bits depend on it.
    const step = f(f(1 - f(0.1)) / points);
    const at = (k: number): number =>
      k < (points + 1) / 2 ? f(f(0.1) + step * k) : f(1 - step * (points - k));
    for (let k = 0; k < points; k++) {
      const value = f(scale * f(f(at(k) + at(k + 1)) / 2));
      values.push(value, -value);
    }
  }
  return Float32Array.from(values).sort();
})();

/** How many of the rising `bounds` lie below a value; on a tie the lower place. */
export function placeAmong(bounds: Float32Array, value: number): number {
  let low = 0;
  let high = bounds.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value > bounds[middle]!) low = middle + 1;
    else high = middle;
  }
  return low;
}
