// Gradients of transformer operators.
import { float } from '../graph/graph';
import { reduceTo } from './elementwise';
import { defineGradients } from './rule';

const none: Record<string, never> = {};
const norm = { axis: -1, epsilon: float(1e-5) };

export const neuralGradients = defineGradients({
  Softmax: {
    // dX = Y∘(dY − rowsum(Y∘dY))
    grad: (c) => {
      const { b } = c;
      const weighted = b.mul(c.output(0), c.dOutput(0));
      return [b.sub(weighted, b.mul(c.output(0), b.sum(weighted, [-1])))];
    },
    samples: [{ inputs: [{ shape: [2, 2, 5], range: [-2, 2] }], attributes: { axis: -1 } }],
  },
  SimplifiedLayerNormalization: {
    // y = x·s·w with s = 1/rms: dw = Σ dY∘x·s.
    grad: (c) => {
      const { b } = c;
      const [x, inverse, dY] = [c.input(0), c.output(1), c.dOutput(0)];
      return [
        c.needs(0) ? b.op('SimplifiedLayerNormalizationGradient', [x, c.input(1), inverse, dY], none) : null,
        c.needs(1) ? reduceTo(b, b.mul(dY, b.mul(x, inverse)), c.shape(1)) : null,
      ];
    },
    samples: [{ inputs: [{ shape: [3, 6] }, { shape: [6], range: [0.5, 1.5] }], attributes: norm }],
  },
  LayerNormalization: {
    // x̂ = (x − μ)·s, t = dY∘w: dX = s·(t − mean(t) − x̂·mean(t∘x̂)), dw = Σ dY∘x̂, db = Σ dY.
    grad: (c) => {
      const { b } = c;
      const [x, mean, inverse, dY] = [c.input(0), c.output(1), c.output(2), c.dOutput(0)];
      const unit = b.mul(b.sub(x, mean), inverse);
      const t = b.mul(dY, c.input(1));
      const average = (v: typeof t) => b.op('ReduceMean', [v], { axes: [-1], keepdims: 1 });
      return [
        c.needs(0) ? b.mul(b.sub(b.sub(t, average(t)), b.mul(unit, average(b.mul(t, unit)))), inverse) : null,
        c.needs(1) ? reduceTo(b, b.mul(dY, unit), c.shape(1)) : null,
        c.needs(2) ? reduceTo(b, dY, c.shape(2)) : null,
      ];
    },
    samples: [
      { inputs: [{ shape: [3, 6] }, { shape: [6], range: [0.5, 1.5] }, { shape: [6] }], attributes: norm },
    ],
  },
  RotaryEmbedding: {
    // A rotation: its transpose turns the other way.
    grad: (c) => {
      const backward = c.b.op('Neg', [c.input(3)], none);
      return [c.b.op('RotaryEmbedding', [c.dOutput(0), c.input(1), c.input(2), backward], c.attributes)];
    },
    samples: [
      {
        inputs: [
          { shape: [1, 3, 8] },
          { shape: [1, 3], data: { dtype: 'int64', values: [0, 2, 1] } },
          { shape: [3, 2], frozen: true },
          { shape: [3, 2], frozen: true },
        ],
        attributes: { num_heads: 2, interleaved: 0 },
      },
    ],
  },
  ScaleGradient: {
    grad: (c) => [c.b.mul(c.dOutput(0), c.input(1))],
    samples: [{ inputs: [{ shape: [3, 2] }, { shape: [3, 1], frozen: true }] }],
    surrogate: 'forward it is the identity, backward it weights rows',
  },
  Stored: {
    grad: (c) => [c.b.op('Stored', [c.dOutput(0)], none)],
    samples: [{ inputs: [{ shape: [3, 2] }] }],
  },
  StopGradient: { stop: 'asked for by the author of the graph' },
  SimplifiedLayerNormalizationGradient: { stop: 'made on the way back alone' },
  Fill: { stop: 'a constant' },
  GroupQueryAttention: { stop: 'training has CausalAttention, which is lowered to it, or SoftmaxMatMul' },
});
