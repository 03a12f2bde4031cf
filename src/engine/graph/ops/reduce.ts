// Sums, means and extrema over axes. The reduced axes stay with size 1 unless keepdims is 0.
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
  ReduceMax: reduction,
  ReduceSumSquare: reduction,
});
