// Gradients of element-by-element operators.
import type { GraphBuilder } from '../graph/builder';
import { float, type Value } from '../graph/graph';
import { broadcastAxes, sameShape } from '../graph/shape';
import { defineGradients, type SampleInput } from './rule';

/** Sums a gradient over the axes along which an input was broadcast. */
export function reduceTo(b: GraphBuilder, gradient: Value, shape: readonly number[]): Value {
  if (sameShape(gradient.shape, shape)) return gradient;
  const axes = broadcastAxes(gradient.shape, shape);
  const summed = axes.length > 0 ? b.sum(gradient, axes) : gradient;
  return sameShape(summed.shape, shape) ? summed : b.reshape(summed, shape);
}

const x23: SampleInput = { shape: [2, 3] };
const positive: SampleInput = { shape: [2, 3], range: [0.5, 2] };
/** Broadcasting in both directions and against a scalar. */
const broadcastPairs = [
  { inputs: [x23, x23] },
  { inputs: [{ shape: [2, 1] }, { shape: [3] }] },
  { inputs: [x23, { shape: [] }] },
];
const none: Record<string, never> = {};

export const elementwiseGradients = defineGradients({
  Add: {
    grad: (c) => [0, 1].map((i) => (c.needs(i) ? reduceTo(c.b, c.dOutput(0), c.shape(i)) : null)),
    samples: broadcastPairs,
  },
  Sub: {
    grad: (c) => {
      const dY = c.dOutput(0);
      return [
        c.needs(0) ? reduceTo(c.b, dY, c.shape(0)) : null,
        c.needs(1) ? c.b.op('Neg', [reduceTo(c.b, dY, c.shape(1))], none) : null,
      ];
    },
    samples: broadcastPairs,
  },
  Mul: {
    // dA = dY·B, dB = dY·A
    grad: (c) =>
      [0, 1].map((i) =>
        c.needs(i) ? reduceTo(c.b, c.b.mul(c.dOutput(0), c.input(1 - i)), c.shape(i)) : null,
      ),
    samples: broadcastPairs,
  },
  Div: {
    // dA = dY/B, dB = −dY·Y/B
    grad: (c) => {
      const { b } = c;
      const quotient = b.div(c.dOutput(0), c.input(1));
      return [
        c.needs(0) ? reduceTo(b, quotient, c.shape(0)) : null,
        c.needs(1) ? b.op('Neg', [reduceTo(b, b.mul(quotient, c.output(0)), c.shape(1))], none) : null,
      ];
    },
    samples: [{ inputs: [x23, positive] }, { inputs: [{ shape: [3] }, { shape: [2, 1], range: [0.5, 2] }] }],
  },
  Max: {
    grad: (c) => choose(c, 'GreaterOrEqual'),
    samples: [{ inputs: [x23, x23] }],
  },
  Min: {
    grad: (c) => choose(c, 'Less'),
    samples: [{ inputs: [x23, x23] }],
  },
  Pow: {
    // dA = dY·p·A^(p−1); the exponent is a constant.
    grad: (c) => {
      const { b } = c;
      const exponent = c.input(1);
      const slope = b.mul(exponent, b.op('Pow', [c.input(0), b.sub(exponent, b.scalar(1))], none));
      return [reduceTo(b, b.mul(c.dOutput(0), slope), c.shape(0))];
    },
    samples: [{ inputs: [positive, { shape: [], range: [2, 3], frozen: true }] }],
  },
  Neg: { grad: (c) => [c.b.op('Neg', [c.dOutput(0)], none)], samples: [{ inputs: [x23] }] },
  Exp: { grad: (c) => [c.b.mul(c.dOutput(0), c.output(0))], samples: [{ inputs: [x23] }] },
  Log: { grad: (c) => [c.b.div(c.dOutput(0), c.input(0))], samples: [{ inputs: [positive] }] },
  Sqrt: {
    // dX = dY/(2Y)
    grad: (c) => [c.b.div(c.dOutput(0), c.b.scale(c.output(0), 2))],
    samples: [{ inputs: [positive] }],
  },
  Abs: {
    grad: (c) => [c.b.mul(c.dOutput(0), c.b.op('Sign', [c.input(0)], none))],
    samples: [{ inputs: [positive] }, { inputs: [{ shape: [4], range: [-2, -0.5] }] }],
  },
  Sign: { stop: 'piecewise constant' },
  Tanh: {
    // dX = dY·(1 − Y²)
    grad: (c) => [c.b.mul(c.dOutput(0), c.b.sub(c.b.scalar(1), c.b.mul(c.output(0), c.output(0))))],
    samples: [{ inputs: [x23] }],
  },
  Sigmoid: {
    // dX = dY·Y·(1 − Y)
    grad: (c) => [c.b.mul(c.dOutput(0), c.b.mul(c.output(0), c.b.sub(c.b.scalar(1), c.output(0))))],
    samples: [{ inputs: [x23] }],
  },
  Relu: {
    grad: (c) => [mask(c.b, c.b.op('Greater', [c.input(0), c.b.scalar(0)], none), c.dOutput(0))],
    samples: [{ inputs: [positive] }, { inputs: [{ shape: [4], range: [-2, -0.5] }] }],
  },
  Identity: { grad: (c) => [c.dOutput(0)], samples: [{ inputs: [x23] }] },
  Not: { stop: 'boolean' },
  Gelu: {
    // dX = dY·(Φ(x) + x·φ(x)), Φ(x) = ½(1 + erf(x/√2)), φ the normal density
    grad: (c) => {
      const { b } = c;
      const x = c.input(0);
      const cdf = b.scale(b.add(b.op('Erf', [b.scale(x, Math.SQRT1_2)], none), b.scalar(1)), 0.5);
      const density = b.scale(b.op('Exp', [b.scale(b.mul(x, x), -0.5)], none), 1 / Math.sqrt(2 * Math.PI));
      return [b.mul(c.dOutput(0), b.add(cdf, b.mul(x, density)))];
    },
    samples: [{ inputs: [{ shape: [2, 5], range: [-3, 3] }] }],
  },
  Erf: {
    // dX = dY·2/√π·exp(−x²)
    grad: (c) => {
      const { b } = c;
      const x = c.input(0);
      return [
        b.mul(
          c.dOutput(0),
          b.scale(b.op('Exp', [b.op('Neg', [b.mul(x, x)], none)], none), 2 / Math.sqrt(Math.PI)),
        ),
      ];
    },
    samples: [{ inputs: [{ shape: [2, 5], range: [-2, 2] }] }],
  },
  FastGelu: {
    // y = x·σ(2u), u = √(2/π)(x + 0.044715x³): dX = dY·(s + x·s(1−s)·2u')
    grad: (c) => {
      const { b } = c;
      const x = c.input(0);
      const square = b.mul(x, x);
      const k = 2 * Math.sqrt(2 / Math.PI);
      const sigma = b.op('Sigmoid', [b.mul(x, b.add(b.scale(square, k * 0.044715), b.scalar(k)))], none);
      const slope = b.add(b.scale(square, 3 * k * 0.044715), b.scalar(k));
      const curve = b.mul(b.mul(x, slope), b.mul(sigma, b.sub(b.scalar(1), sigma)));
      return [b.mul(c.dOutput(0), b.add(sigma, curve))];
    },
    samples: [{ inputs: [{ shape: [2, 5], range: [-3, 3] }] }],
  },
  QuickGelu: {
    // y = x·s, s = σ(αx): dX = dY·(α·y + s·(1 − α·y))
    grad: (c) => {
      const { b } = c;
      const alpha = c.attributes.alpha.float;
      const sigma = b.op('Sigmoid', [b.scale(c.input(0), alpha)], none);
      const y = b.scale(c.output(0), alpha);
      return [b.mul(c.dOutput(0), b.add(y, b.mul(sigma, b.sub(b.scalar(1), y))))];
    },
    samples: [
      { inputs: [{ shape: [2, 5], range: [-3, 3] }], attributes: { alpha: float(1) } },
      { inputs: [x23], attributes: { alpha: float(1.7) } },
    ],
  },
  Equal: { stop: 'boolean' },
  Less: { stop: 'boolean' },
  Greater: { stop: 'boolean' },
  GreaterOrEqual: { stop: 'boolean' },
  And: { stop: 'boolean' },
  Where: {
    grad: (c) => {
      const { b } = c;
      const [condition, dY, zero] = [c.input(0), c.dOutput(0), b.scalar(0)];
      return [
        null,
        c.needs(1) ? reduceTo(b, b.op('Where', [condition, dY, zero], none), c.shape(1)) : null,
        c.needs(2) ? reduceTo(b, b.op('Where', [condition, zero, dY], none), c.shape(2)) : null,
      ];
    },
    samples: [
      {
        inputs: [{ shape: [2, 3], data: { dtype: 'bool', values: [1, 0, 1, 0, 0, 1] } }, x23, { shape: [3] }],
      },
    ],
  },
  Cast: {
    grad: (c) => [c.b.op('Cast', [c.dOutput(0)], { to: c.input(0).dtype })],
    samples: [{ inputs: [x23], attributes: { to: 'float32' } }],
  },
});

function mask(b: GraphBuilder, condition: Value, gradient: Value): Value {
  return b.op('Where', [condition, gradient, b.scalar(0)], none);
}

/** Max and Min: the gradient goes to the chosen input. */
function choose(c: Parameters<typeof firstWins>[0], comparison: 'GreaterOrEqual' | 'Less'): (Value | null)[] {
  const first = firstWins(c, comparison);
  const { b } = c;
  return [
    c.needs(0) ? reduceTo(b, mask(b, first, c.dOutput(0)), c.shape(0)) : null,
    c.needs(1) ? reduceTo(b, b.op('Where', [first, b.scalar(0), c.dOutput(0)], none), c.shape(1)) : null,
  ];
}

function firstWins(
  c: import('./rule').GradientContext<object>,
  comparison: 'GreaterOrEqual' | 'Less',
): Value {
  return c.b.op(comparison, [c.input(0), c.input(1)], none);
}
