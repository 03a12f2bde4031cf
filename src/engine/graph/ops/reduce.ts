// Sums, means and extrema over axes. The reduced axes stay with size 1 unless keepdims is 0.
import { elements } from '../../dtype';
import type { GraphBuilder } from '../builder';
import type { Node, Value } from '../graph';
import type { Precision } from '../precision';
import { axisOf } from '../shape';
import { defineOps, type OpDefinition, required } from './definition';

interface Reduction {
  axes: readonly number[];
  keepdims: 0 | 1;
}

const reduction: OpDefinition<Reduction> = {
  domain: '',
  precision: 'float32',
  onnx: (a) => ({ ints: [a.axes], attributes: { keepdims: a.keepdims } }),
  infer: (inputs, a, fail) => {
    const x = required(inputs, 0, fail);
    const axes = new Set(a.axes.map((axis) => axisOf(axis, x.shape.length)));
    const shape = a.keepdims
      ? x.shape.map((d, i) => (axes.has(i) ? 1 : d))
      : x.shape.filter((_, i) => !axes.has(i));
    return [{ dtype: x.dtype, shape }];
  },
};

export const reduceOps = defineOps({
  ReduceSum: reduction,
  ReduceMean: reduction,
  ReduceMax: { ...reduction, onDevice: largestOfLast },
  ReduceSumSquare: reduction,
  /** The largest of the last axis: x [..., n] → values [..., 1], their places int64. Written by lowering alone. */
  TopK: {
    domain: '',
    precision: 'float32',
    onnx: () => ({ ints: [[1]], attributes: { axis: -1, largest: 1, sorted: 1 } }),
    infer: (inputs, _, fail) => {
      const x = required(inputs, 0, fail);
      const shape = [...x.shape.slice(0, -1), 1];
      return [
        { dtype: x.dtype, shape },
        { dtype: 'int64', shape },
      ];
    },
  } as OpDefinition<Record<string, never>>,
});

/** CUDA's TopK sorts so many in the memory that a block of threads shares; more take several passes. */
const inOneBlock = 256;

/**
 * CUDA's ReduceMax asks cuDNN for every shape (ONNX Runtime 1.30), its TopK for none: one kernel with no memory of its own,
 * which for k = 1 compares n values in log₂ n rounds. Many values go in rounds of up to 256.
 */
function largestOfLast(
  b: GraphBuilder,
  { inputs, outputs, attributes }: Node,
  map: (value: Value) => Value,
  device: Precision['device'],
): readonly Value[] | undefined {
  const x = inputs[0]!;
  const rank = x.shape.length;
  const kept = rank - new Set((attributes.axes as Reduction['axes']).map((axis) => axisOf(axis, rank))).size;
  const trailing = (attributes.axes as Reduction['axes']).every((axis) => axisOf(axis, rank) >= kept);
  if (device !== 'cuda' || !trailing) return undefined;
  const rows = elements(x.shape.slice(0, kept));
  let left = elements(x.shape) / rows;
  let values = map(x);
  while (left > 1) {
    const size = largestDivisor(left, inOneBlock) ?? left;
    left /= size;
    values = b.apply('TopK', [b.reshape(values, [rows * left, size])], {})[0]!;
  }
  return [b.reshape(values, outputs[0]!.shape)];
}

/** From `most` down to 2; undefined where none divides. */
function largestDivisor(n: number, most: number): number | undefined {
  for (let d = Math.min(most, n); d > 1; d--) if (n % d === 0) return d;
  return undefined;
}
