// Double quantisation: the sizes of blocks in 8 bits, blocks of 256 of them sharing a size of their own, after their mean was
// taken off; as bitsandbytes stores them. Knows no weights.
import { dynamicCodes, placeAmong } from './codes';

/** Sizes that share one second-level size. */
export const sizesBlock = 256;

export interface QuantizedSizes {
  codes: Uint8Array;
  /** Largest size of each block of 256. */
  absmax: Float32Array;
  /** Mean that was taken off before. */
  offset: number;
}

const midpoints = dynamicCodes.slice(1).map((code, i) => (code + dynamicCodes[i]!) / 2);
/** The code of 0. */
const zero = dynamicCodes.indexOf(0);

/**
 * Quantises block sizes to their nearest codes, which is what bitsandbytes' GPU kernels and its own fallback do; its CPU
 * kernel looks values up on a grid of 65,536 and misses the nearest code about once in a thousand.
 */
export function quantizeSizes(absmax: Float32Array): QuantizedSizes {
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
    const reciprocal = Math.fround(1 / size);
    part.forEach((value, i) => {
      codes[block * sizesBlock + i] =
        size === 0 ? zero : placeAmong(midpoints, Math.fround(value * reciprocal));
    });
  }
  return { codes, absmax: largest, offset };
}

/** The block sizes that the codes stand for. */
export function dequantizeSizes({ codes, absmax, offset }: QuantizedSizes): Float32Array {
  return Float32Array.from(
    codes,
    (code, i) => Math.fround(dynamicCodes[code]! * absmax[Math.floor(i / sizesBlock)]!) + offset,
  );
}
