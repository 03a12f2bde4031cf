// Operators that work element by element, with NumPy broadcasting where they take two inputs.
import { type DType, dtypes } from '../../dtype';
import { broadcastShapes } from '../shape';
import { defineOps, type Fail, type OpDefinition, required, type TensorType } from './definition';

type None = Record<string, never>;

function unary(
  domain: OpDefinition['domain'] = '',
  precision: OpDefinition['precision'] = 'follows',
): OpDefinition<None> {
  return { domain, precision, infer: (inputs, _, fail) => [required(inputs, 0, fail)] };
}

function pair(inputs: readonly (TensorType | null)[], fail: Fail): [TensorType, TensorType] {
  const [a, b] = [required(inputs, 0, fail), required(inputs, 1, fail)];
  if (a.dtype !== b.dtype) fail('the element types differ');
  return [a, b];
}

const binary: OpDefinition<None> = {
  domain: '',
  precision: 'follows',
  infer: (inputs, _, fail) => {
    const [a, b] = pair(inputs, fail);
    return [{ dtype: a.dtype, shape: broadcastShapes(a.shape, b.shape) }];
  },
};

const comparison: OpDefinition<None> = {
  domain: '',
  precision: 'follows',
  infer: (inputs, _, fail) => {
    const [a, b] = pair(inputs, fail);
    return [{ dtype: 'bool', shape: broadcastShapes(a.shape, b.shape) }];
  },
};

export const elementwiseOps = defineOps({
  Add: binary,
  Sub: binary,
  Mul: binary,
  Div: binary,
  Max: binary,
  Min: binary,
  Pow: { ...binary, precision: 'float32' },
  Neg: unary(),
  Exp: unary('', 'float32'),
  Log: unary('', 'float32'),
  Sqrt: unary('', 'float32'),
  Abs: unary(),
  Sign: unary(),
  Tanh: unary(),
  Sigmoid: unary(),
  Relu: unary(),
  Erf: unary('', 'float32'),
  Identity: unary(),
  Not: unary(),
  /** Gelu by the error function: x·Φ(x). */
  Gelu: unary('com.microsoft'),
  /** Gelu by tanh (`gelu_new`, `gelu_pytorch_tanh`). */
  FastGelu: unary('com.microsoft'),
  /** x·σ(alpha·x); SiLU at alpha 1. */
  QuickGelu: {
    domain: 'com.microsoft',
    precision: 'follows',
    infer: (inputs, _, fail) => [required(inputs, 0, fail)],
  } as OpDefinition<{
    alpha: { float: number };
  }>,
  Equal: comparison,
  Less: comparison,
  Greater: comparison,
  GreaterOrEqual: comparison,
  And: comparison,
  /** condition, a, b. */
  Where: {
    domain: '',
    precision: 'follows',
    infer: (inputs, _, fail) => {
      const [condition, a, b] = [0, 1, 2].map((i) => required(inputs, i, fail)) as [
        TensorType,
        TensorType,
        TensorType,
      ];
      if (condition.dtype !== 'bool') fail('the condition is not bool');
      if (a.dtype !== b.dtype) fail('the element types differ');
      return [{ dtype: a.dtype, shape: broadcastShapes(condition.shape, broadcastShapes(a.shape, b.shape)) }];
    },
  } as OpDefinition<None>,
  /** `to` is our name of the element type; the encoder writes ONNX's number. */
  Cast: {
    domain: '',
    precision: 'follows',
    onnx: (a) => ({ attributes: { to: dtypes[a.to].onnx } }),
    infer: (inputs, attributes, fail) => [{ dtype: attributes.to, shape: required(inputs, 0, fail).shape }],
  } as OpDefinition<{ to: DType }>,
});
