// Values in four bits as bitsandbytes stores them: blocks share their largest size, each value is the nearest of 16 codes, two
// to a byte with the first in the high nibble. Knows no tensors' names and no runtime.
import { invariant } from '../errors';
import { codeBooks, placeAmong, type QuantType } from './codes';

/** The block sizes that bitsandbytes has kernels for. */
export const blockSizes: readonly number[] = [32, 64, 128, 256, 512, 1024, 2048, 4096];

export interface FourBit {
  quantType: QuantType;
  blockSize: number;
  /** How many values. */
  count: number;
  /** Two codes a byte, ceil(count / 2) bytes. */
  packed: Uint8Array;
  /** Largest size of each block. */
  absmax: Float32Array;
}

/** bitsandbytes' stand-in for the size of a short last block of zeros. */
const smallest = Math.fround(1e-38);

/** Quantises row-major values. @param blockSize one of `blockSizes`. */
export function quantizeFourBit(values: Float32Array, quantType: QuantType, blockSize: number): FourBit {
  invariant(
    blockSizes.includes(blockSize),
    `a block size is a power of two from 32 to 4096, not ${blockSize}`,
  );
  const { order, midpoints } = codeBooks[quantType];
  const count = values.length;
  const absmax = new Float32Array(Math.ceil(count / blockSize));
  const packed = new Uint8Array(Math.ceil(count / 2));
  for (let block = 0; block < absmax.length; block++) {
    const start = block * blockSize;
    const end = Math.min(count, start + blockSize);
    const whole = end - start === blockSize;
    let largest = 0;
    for (let i = start; i < end; i++) largest = Math.max(largest, Math.abs(values[i]!));
    absmax[block] = whole ? largest : Math.max(largest, smallest);
    // Whole blocks are multiplied by the reciprocal, a short last one is divided: the bits of values near a midpoint tell.
    const reciprocal = Math.fround(1 / Math.max(largest, smallest));
    for (let i = start; i < end; i++) {
      const scaled = whole ? values[i]! * reciprocal : values[i]! / absmax[block]!;
      const code = order[placeAmong(midpoints, Math.fround(scaled))]!;
      packed[i >> 1]! |= i % 2 === 0 ? code << 4 : code;
    }
  }
  // A last byte with one value has the code of zero beside it.
  if (count % 2 === 1) packed[packed.length - 1]! |= order[placeAmong(midpoints, 0)]!;
  return { quantType, blockSize, count, packed, absmax };
}

/** The values that the codes stand for. */
export function dequantizeFourBit({ quantType, blockSize, count, packed, absmax }: FourBit): Float32Array {
  const { values } = codeBooks[quantType];
  const out = new Float32Array(count);
  for (let i = 0; i < count; i++) {
    const byte = packed[i >> 1]!;
    const code = i % 2 === 0 ? byte >> 4 : byte & 15;
    out[i] = values[code]! * absmax[Math.floor(i / blockSize)]!;
  }
  return out;
}
