// Looks through float tensors for NaN and infinities by their bit patterns, a piece at a time. Changes nothing.
import { CheckpointError, raiseProblems } from '../errors';
import { readPieces } from './safetensors';
import { shownName, type TensorRef } from './safetensorsHeader';

/** What is wrong in one tensor. `firstIndex` counts elements in row-major order. */
export interface NonFinite {
  name: string;
  file: string;
  nan: number;
  infinite: number;
  firstIndex: number;
}

interface Pattern {
  words: (bytes: Uint8Array) => Uint16Array | Uint32Array;
  /** Elements are `stride` words; the one with sign and exponent is the last (little-endian). */
  stride: number;
  /** All bits of the exponent: set in NaN and infinity alone. */
  exponent: number;
  fraction: number;
}

const words16 = (b: Uint8Array) => new Uint16Array(b.buffer, b.byteOffset, b.byteLength / 2);
const words32 = (b: Uint8Array) => new Uint32Array(b.buffer, b.byteOffset, b.byteLength / 4);

const patterns: Partial<Record<TensorRef['dtype'], Pattern>> = {
  F32: { words: words32, stride: 1, exponent: 0x7f800000, fraction: 0x007fffff },
  F16: { words: words16, stride: 1, exponent: 0x7c00, fraction: 0x03ff },
  BF16: { words: words16, stride: 1, exponent: 0x7f80, fraction: 0x007f },
  F64: { words: words32, stride: 2, exponent: 0x7ff00000, fraction: 0x000fffff },
};

function scan(
  words: Uint16Array | Uint32Array,
  pattern: Pattern,
  from: number,
  found: Omit<NonFinite, 'name' | 'file'>,
) {
  const { stride, exponent, fraction } = pattern;
  for (let i = stride - 1; i < words.length; i += stride) {
    const word = words[i]!;
    if ((word & exponent) !== exponent) continue;
    const low = stride === 2 ? words[i - 1]! : 0;
    if ((word & fraction) !== 0 || low !== 0) found.nan++;
    else found.infinite++;
    if (found.firstIndex < 0) found.firstIndex = from + (i - stride + 1) / stride;
  }
}

/** NaN and infinities of an array in memory, or undefined when all its values are finite. */
export function findNonFinite(values: Float32Array): Omit<NonFinite, 'name' | 'file'> | undefined {
  const found = { nan: 0, infinite: 0, firstIndex: -1 };
  scan(new Uint32Array(values.buffer, values.byteOffset, values.length), patterns.F32!, 0, found);
  return found.firstIndex < 0 ? undefined : found;
}

/** The tensors of `refs` that hold NaN or infinities; integer tensors are passed over. Reads every byte once. */
export async function scanFinite(refs: Iterable<TensorRef>): Promise<NonFinite[]> {
  const result: NonFinite[] = [];
  for (const ref of refs) {
    const pattern = patterns[ref.dtype];
    if (!pattern) continue;
    const found = { nan: 0, infinite: 0, firstIndex: -1 };
    for await (const { bytes, byteOffset } of readPieces(ref)) {
      const words = pattern.words(bytes);
      scan(words, pattern, byteOffset / (words.BYTES_PER_ELEMENT * pattern.stride), found);
    }
    if (found.firstIndex >= 0) result.push({ name: ref.name, file: ref.file, ...found });
  }
  return result;
}

/** Throws one CheckpointError that lists every tensor with NaN or infinities. */
export async function requireFinite(refs: Iterable<TensorRef>): Promise<void> {
  raiseProblems(
    CheckpointError,
    'checkpoint-not-finite',
    'The weights hold values that are no numbers:',
    (await scanFinite(refs)).map(({ name, file, nan, infinite, firstIndex }) => ({
      where: `${file}, ${shownName(name)}`,
      message: `${nan} NaN and ${infinite} infinite values, the first at index ${firstIndex}`,
    })),
    'Download the checkpoint again, or take one from before the training went wrong.',
  );
}
