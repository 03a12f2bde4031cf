// NF4 (Dettmers et al., arXiv 2305.14314) as bitsandbytes stores it: blocks of 64 values share their largest size, each value
// is the nearest of 16 codes, two to a byte with the first in the high nibble. Double quantisation stores the sizes in
// 8 bits. Knows no tensors' names and no runtime.
import { invariant } from '../errors';

/** The code book: quantiles of the normal distribution, scaled to [−1, 1]; float32 values. */
export const nf4Codes = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);
const midpoints = nf4Codes.slice(1).map((code, i) => (code + nf4Codes[i]!) / 2);

export interface Nf4 {
  /** Two codes a byte, ceil(count / 2) bytes. */
  packed: Uint8Array;
  /** Largest size of each block. */
  absmax: Float32Array;
  count: number;
  blockSize: number;
}

/** Quantises row-major values. @param blockSize a power of two from 32 to 4096. */
export function quantizeNf4(values: Float32Array, blockSize = 64): Nf4 {
  invariant(
    blockSize >= 32 && blockSize <= 4096 && Number.isInteger(Math.log2(blockSize)),
    `a block size is a power of two from 32 to 4096, not ${blockSize}`,
  );
  const count = values.length;
  const absmax = new Float32Array(Math.ceil(count / blockSize));
  const packed = new Uint8Array(Math.ceil(count / 2));
  for (let block = 0; block < absmax.length; block++) {
    const end = Math.min(count, (block + 1) * blockSize);
    let largest = 0;
    for (let i = block * blockSize; i < end; i++) largest = Math.max(largest, Math.abs(values[i]!));
    absmax[block] = largest;
    for (let i = block * blockSize; i < end; i++) {
      const code = largest === 0 ? 7 : nearest(midpoints, Math.fround(values[i]! / largest));
      packed[i >> 1]! |= i % 2 === 0 ? code << 4 : code;
    }
  }
  // A last byte with one value has the code of zero beside it.
  if (count % 2 === 1) packed[packed.length - 1]! |= 7;
  return { packed, absmax, count, blockSize };
}

/** The values that the codes stand for. */
export function dequantizeNf4({ packed, absmax, count, blockSize }: Nf4): Float32Array {
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const byte = packed[i >> 1]!;
    const code = i % 2 === 0 ? byte >> 4 : byte & 15;
    out[i] = nf4Codes[code]! * absmax[Math.floor(i / blockSize)]!;
  }
  return out;
}

/**
 * The 8-bit signed "dynamic" code: for i = 0…6 the midpoints of 2^i + 1 equally spaced points on [0.1, 1], times 10^(i−6),
 * with both signs; and 0 and 1. From the smallest up; 256 values.
 */
export function dynamicCodes(): Float32Array {
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
}

export interface QuantizedSizes {
  codes: Uint8Array;
  /** Largest size of each block of 256. */
  absmax: Float32Array;
  /** Mean that was taken off before. */
  offset: number;
}

const sizesBlock = 256;

/** Double quantisation of block sizes. */
export function quantizeSizes(absmax: Float32Array): QuantizedSizes {
  const table = dynamicCodes();
  const between = table.slice(1).map((code, i) => (code + table[i]!) / 2);
  let sum = 0;
  for (const value of absmax) sum += value;
  const offset = Math.fround(absmax.length === 0 ? 0 : sum / absmax.length);
  const codes = new Uint8Array(absmax.length);
  const largest = new Float32Array(Math.ceil(absmax.length / sizesBlock));
  const centred = absmax.map((value) => value - offset);
  for (let block = 0; block < largest.length; block++) {
    const part = centred.subarray(block * sizesBlock, (block + 1) * sizesBlock);
    let size = 0;
    for (const value of part) size = Math.max(size, Math.abs(value));
    largest[block] = size;
    part.forEach((value, i) => {
      codes[block * sizesBlock + i] = size === 0 ? 127 : nearest(between, Math.fround(value / size));
    });
  }
  return { codes, absmax: largest, offset };
}

/** The block sizes that the codes stand for. */
export function dequantizeSizes({ codes, absmax, offset }: QuantizedSizes): Float32Array {
  const table = dynamicCodes();
  return Float32Array.from(
    codes,
    (code, i) => Math.fround(table[code]! * absmax[Math.floor(i / sizesBlock)]!) + offset,
  );
}

/** Index of the nearest code by the midpoints between codes; the lower one on a tie. */
function nearest(between: Float32Array, value: number): number {
  let low = 0;
  let high = between.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (value > between[middle]!) low = middle + 1;
    else high = middle;
  }
  return low;
}
