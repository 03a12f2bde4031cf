// Optimizer state in 8 bits as bitsandbytes keeps it: blocks of 256 values of one tensor share their largest size, each value
// is the nearest of 256 dynamic codes, signed or not. A tensor's last block is filled up with zeros. As graph operators.
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import { dynamicCodes } from '../quantization/codes';
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

function table(signed: boolean): Float32Array {
  return signed ? dynamicCodes : unsignedDynamicCodes();
}

/** The values, filled up. */
export function decoded(b: GraphBuilder, { codes, absmax }: Coded, signed: boolean): Value {
  const [count] = codes.shape as [number];
  const book = b.constant('float32', [256], table(signed), 'codes');
  const values = b.op('Gather', [book, b.op('Cast', [codes], { to: 'int32' })], { axis: 0 });
  const blocks = b.reshape(values, [count / blockSize, blockSize]);
  return b.reshape(b.mul(blocks, b.reshape(absmax, [count / blockSize, 1])), [count]);
}

/** The nearest codes of filled-up values; between two, the lower. */
export function encoded(b: GraphBuilder, x: Value, signed: boolean): Coded {
  const [count] = x.shape as [number];
  const blocks = b.reshape(x, [count / blockSize, blockSize]);
  const absmax = b.op('ReduceMax', [b.op('Abs', [blocks], {})], { axes: [1], keepdims: 0 });
  const divisor = b.reshape(b.op('Max', [absmax, b.scalar(1e-38)], {}), [count / blockSize, 1]);
  const share = b.reshape(b.div(blocks, divisor), [count]);
  const book = table(signed);
  // The number of midpoints below a value, found bit by bit.
  const between = b.constant(
    'float32',
    [255],
    book.slice(1).map((code, i) => (code + book[i]!) / 2),
    'midpoints',
  );
  const int32 = (value: number): Value => b.constant('int32', [], Int32Array.of(value));
  let code: Value | undefined;
  for (let bit = 128; bit >= 1; bit /= 2) {
    const probe = code ? b.add(code, int32(bit - 1)) : int32(bit - 1);
    const above = b.op('Greater', [share, b.op('Gather', [between, probe], { axis: 0 })], {});
    const gained = b.op('Where', [above, int32(bit), int32(0)], {});
    code = code ? b.add(code, gained) : gained;
  }
  return { codes: b.op('Cast', [code!], { to: 'uint8' }), absmax };
}
