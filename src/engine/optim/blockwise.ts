// Optimizer state in 8 bits as bitsandbytes keeps it: blocks of 256 values of one tensor share their largest size, each value
// is the nearest of 256 dynamic codes, signed or not. A tensor's last block is filled up with zeros. As graph operators.
import { invariant } from '../errors';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import { lookedUp } from '../graph/lookUp';
import { dynamicCodes, placeAmong } from '../quantization/codes';
import { unsignedDynamicCodes } from '../quantization/dynamicCodes';
import type { Slot } from './optimizer';

export const blockSize = 256;

/** What is kept of one state vector: `<name>_codes`, `<name>_absmax`. */
export interface Coded {
  codes: Value;
  absmax: Value;
}

const blocksOf = (count: number): number => Math.ceil(count / blockSize);
const total = (counts: readonly number[]): number => counts.reduce((sum, count) => sum + count, 0);

/** The slots of a state vector with `counts` values for each entry of its slab. */
export function codedSlots(name: string, counts: readonly number[]): Slot[] {
  const blocks = counts.map(blocksOf);
  const padded = blocks.map((count) => count * blockSize);
  return [
    {
      name: `${name}_codes`,
      dtype: 'uint8',
      shape: [total(padded)],
      counts: padded,
      perElement: false,
    },
    { name: `${name}_absmax`, dtype: 'float32', shape: [total(blocks)], counts: blocks, perElement: false },
  ];
}

/** Entries one after the other, each filled up with zeros to whole blocks. */
export function padded(b: GraphBuilder, x: Value, counts: readonly number[]): Value {
  if (counts.every((count) => count % blockSize === 0)) return x;
  const parts = b.split(x, 0, counts).flatMap((part, i) => {
    const missing = blocksOf(counts[i]!) * blockSize - counts[i]!;
    return missing === 0 ? [part] : [part, b.constant('float32', [missing], new Float32Array(missing))];
  });
  return b.concat(parts, 0);
}

/** The inverse of `padded`. */
export function unpadded(b: GraphBuilder, x: Value, counts: readonly number[]): Value {
  if (counts.every((count) => count % blockSize === 0)) return x;
  const parts = b.split(
    x,
    0,
    counts.map((count) => blocksOf(count) * blockSize),
  );
  return b.concat(
    parts.map((part, i) => (part.shape[0] === counts[i] ? part : b.slice(part, 0, 0, counts[i]!))),
    0,
  );
}

// One array for all slabs, so that a graph holds it once.
const unsignedCodes = unsignedDynamicCodes();

function table(signed: boolean): Float32Array {
  return signed ? dynamicCodes : unsignedCodes;
}

/** The values, filled up. */
export function decoded(b: GraphBuilder, { codes, absmax }: Coded, signed: boolean): Value {
  const [count] = codes.shape as [number];
  const at = b.op('Cast', [codes], { to: 'int32' });
  const shape = [count / blockSize, blockSize];
  const blocks = lookedUp(b, 'float32', table(signed), at, 'dynamic_codes', shape);
  return b.reshape(b.mul(blocks, b.reshape(absmax, [count / blockSize, 1])), [count]);
}

/** The nearest codes of filled-up values; between two, the lower. */
export function encoded(b: GraphBuilder, x: Value, signed: boolean): Coded {
  const [count] = x.shape as [number];
  const column = [count / blockSize, 1];
  const blocks = b.reshape(x, [count / blockSize, blockSize]);
  const sizes = signed ? b.op('Abs', [blocks], {}) : blocks;
  const absmax = b.op('ReduceMax', [sizes], { axes: [1], keepdims: 0 });
  const divisor = b.op('Max', [absmax, b.scalar(1e-38)], {});
  const share = b.div(blocks, b.reshape(divisor, column));
  const { base, midpoints } = search(signed);
  // √x, or 1 ± √|x| (from x/√|x|, since the CPU's Sign costs four times a product), in buckets: it spreads the small values
  // out, so that no bucket holds two midpoints.
  const scaled = signed && b.div(sizes, b.reshape(b.scale(divisor, bucketsPerUnit ** 2), column));
  const root = b.op('Sqrt', [scaled || share], {});
  const placed = scaled
    ? b.add(b.div(share, b.add(root, b.scalar(1e-30))), b.scalar(bucketsPerUnit))
    : b.scale(root, bucketsPerUnit);
  const bucket = b.op('Cast', [placed], { to: 'int32' });
  const least = lookedUp(b, 'int32', base, bucket, 'buckets');
  const bound = lookedUp(b, 'float32', midpoints, least, 'midpoints');
  const above = b.op('Cast', [b.op('Greater', [share, bound], {})], { to: 'int32' });
  const code = b.op('Cast', [b.add(least, above)], { to: 'uint8' });
  return { codes: b.reshape(code, [count]), absmax };
}

/** Buckets of ±√|x| between 0 and 1. */
const bucketsPerUnit = 4096;

interface Search {
  base: Int32Array;
  midpoints: Float32Array;
}

const searches = new Map<boolean, Search>();

function search(signed: boolean): Search {
  const known = searches.get(signed) ?? searchOf(signed);
  searches.set(signed, known);
  return known;
}

/** For every bucket the least code of its values; the next one begins at that code's midpoint, if in the bucket at all. */
function searchOf(signed: boolean): Search {
  const book = table(signed);
  const midpoints = new Float32Array(256).fill(3e38);
  for (let i = 0; i < 255; i++) midpoints[i] = (book[i]! + book[i + 1]!) / 2;
  const first = signed ? -1 : 0;
  // What rounding may move a value across a bucket's edge.
  const margin = 1e-5;
  const codeAt = (placed: number): number =>
    placeAmong(midpoints.subarray(0, 255), Math.sign(placed) * placed ** 2);
  const base = Int32Array.from({ length: (1 - first) * bucketsPerUnit + 1 }, (_, i) => {
    const from = first + i / bucketsPerUnit;
    const least = codeAt(from - margin);
    invariant(codeAt(from + 1 / bucketsPerUnit + margin) <= least + 1, 'a bucket holds one midpoint at most');
    return least;
  });
  return { base, midpoints };
}
