// Gradients of sums and means.
import { elements } from '../dtype';
import type { Value } from '../graph/graph';
import { axisOf } from '../graph/shape';
import { defineGradients, type GradientContext } from './rule';

interface Reduction {
  axes: readonly number[];
  keepdims: 0 | 1;
}

const samples = [
  { inputs: [{ shape: [2, 3, 4] }], attributes: { axes: [1], keepdims: 1 } },
  { inputs: [{ shape: [2, 3, 4] }], attributes: { axes: [0, 2], keepdims: 0 } },
  { inputs: [{ shape: [5] }], attributes: { axes: [-1], keepdims: 0 } },
];

export const reduceGradients = defineGradients({
  ReduceSum: { grad: (c) => [spread(c, c.dOutput(0))], samples },
  ReduceMean: {
    grad: (c) => {
      const reduced = elements(c.shape(0)) / elements(c.dOutput(0).shape);
      return [spread(c, c.b.scale(c.dOutput(0), 1 / reduced))];
    },
    samples,
  },
  ReduceSumSquare: {
    // dX = 2·dY·X
    grad: (c) => [c.b.mul(c.b.scale(kept(c, c.dOutput(0)), 2), c.input(0))],
    samples,
  },
  ReduceMax: { stop: 'used for numerical shifts only, whose gradient cancels' },
});

/** The gradient with the reduced axes back as ones. */
function kept(c: GradientContext<Reduction>, dY: Value): Value {
  if (c.attributes.keepdims) return dY;
  const rank = c.shape(0).length;
  const axes = new Set(c.attributes.axes.map((axis) => axisOf(axis, rank)));
  return c.b.reshape(
    dY,
    c.shape(0).map((d, i) => (axes.has(i) ? 1 : d)),
  );
}

function spread(c: GradientContext<Reduction>, dY: Value): Value {
  return c.b.op('Expand', [kept(c, dY)], { shape: c.shape(0) });
}
