// What an operator costs on a GPU, by a roofline: comes in, one operator with the shapes and types of its tensors; goes out, its
// kernels, bytes, floating-point operations and a time. A model, no measurement: every constant is stated here.
import { byteSize, type DType, elements } from '../../src/engine/dtype';

export interface TensorType {
  dtype: DType;
  shape: readonly number[];
}

/** One operator of ONNX as it stands in a graph. */
export interface OperatorUse {
  /** With its domain, but for ONNX's own. */
  operator: string;
  /** Path of scopes, `grad.` before that of the backward pass. */
  scope: string;
  /** Null where an optional input is left out. */
  inputs: readonly (TensorType | null)[];
  outputs: readonly TensorType[];
  attributes: Readonly<Record<string, number>>;
}

/** The machine: an H200 (SXM), unless told otherwise. */
export const machine = {
  /** Dense bf16 products, FLOP/s: the data sheet's 989 is out of reach of cuBLAS under the card's power limit. */
  productRate: 790e12,
  /** Of that rate in fp32 without tensor cores. */
  float32Rate: 60e12,
  /** Share of the product rate that large products reach in a step. */
  productEfficiency: 0.75,
  /** The same inside fused attention kernels, which also take exponentials; backward less. */
  attentionEfficiency: 0.45,
  attentionBackwardEfficiency: 0.35,
  /** Bytes per second, of 4.8e12. */
  bandwidth: 4.0e12,
  /** Least time of a kernel on the device, its start included. */
  kernelSeconds: 3e-6,
  /** A copy of a table of some hundred bytes from pinned memory, on the device and on the host. */
  tableSeconds: 1.5e-6,
  hostSecondsPerTable: 2e-6,
  /** Time of the runtime's host side for an operator with kernels, and for one that only changes a shape. */
  hostSecondsPerOperator: 6e-6,
  hostSecondsPerView: 2e-6,
  /** The same for an operator of eager PyTorch with autograd, and of its backward pass (in C++). */
  torchSecondsPerOperator: 8e-6,
  torchSecondsPerBackward: 5e-6,
};
export type Machine = typeof machine;

export interface Cost {
  kernels: number;
  bytes: number;
  flops: number;
  /** On the device. */
  seconds: number;
  hostSeconds: number;
}

const views = new Set(['Reshape', 'Identity', 'Squeeze', 'Unsqueeze', 'Flatten']);
const products = new Set(['Gemm', 'MatMul', 'com.microsoft.FusedMatMul', 'com.microsoft.FusedGemm']);
/** What only moves elements and reads no more than it writes. */
const moves = new Set(['Slice', 'Gather', 'GatherElements', 'Expand', 'Transpose', 'Split']);
/** Longest row that the runtime's softmax holds while it works, in bytes: longer ones are read three times. */
const softmaxRow = 128 * 1024;

export function costOf(use: OperatorUse, m: Machine): Cost {
  const { operator } = use;
  if (views.has(operator) || use.outputs.every(({ shape }) => elements(shape) === 0))
    return { kernels: 0, bytes: 0, flops: 0, seconds: 0, hostSeconds: m.hostSecondsPerView };
  const work = workOf(use);
  const rate =
    operator === 'com.microsoft.GroupQueryAttention'
      ? m.productRate * m.attentionEfficiency
      : (use.outputs[0]!.dtype === 'float32' ? m.float32Rate : m.productRate) * m.productEfficiency;
  const tables = tablesOf(use);
  return {
    ...work,
    seconds: secondsOf(work, rate, m) + tables * m.tableSeconds,
    hostSeconds: m.hostSecondsPerOperator + tables * m.hostSecondsPerTable,
  };
}

/** Tables that Concat and Split of unequal parts copy to the device first (concat.cc, split.cc): addresses, sizes, ends, places. */
function tablesOf({ operator, inputs, outputs }: OperatorUse): number {
  if (operator !== 'Concat' && operator !== 'Split') return 0;
  const parts = operator === 'Concat' ? inputs : outputs;
  const [first] = parts;
  return parts.every((part) => part!.shape.every((d, i) => d === first!.shape[i])) ? 0 : 4;
}

/** The longer of computing and moving, and never less than kernels take to start. */
export function secondsOf(
  { kernels, bytes, flops }: Pick<Cost, 'kernels' | 'bytes' | 'flops'>,
  rate: number,
  m: Machine,
): number {
  return Math.max(flops / rate, bytes / m.bandwidth, kernels * m.kernelSeconds);
}

function workOf({
  operator,
  inputs,
  outputs,
  attributes,
}: OperatorUse): Pick<Cost, 'kernels' | 'bytes' | 'flops'> {
  const read = inputs.map((input) => (input ? bytesOf(input) : 0));
  const written = outputs.reduce((sum, output) => sum + bytesOf(output), 0);
  const all = read.reduce((sum, bytes) => sum + bytes, written);
  const [first, second, third] = inputs;
  const out = outputs[0]!;
  if (products.has(operator)) {
    const inner = attributes.transA ? first!.shape.at(-2)! : first!.shape.at(-1)!;
    const flops = 2 * inner * elements(out.shape);
    // C is copied to the result, which the product then adds to.
    const whole = third && elements(third.shape) === elements(out.shape);
    return {
      kernels: third ? 2 : 1,
      bytes: all + (whole ? 2 * bytesOf(out) : third ? 2 * bytesOf(out) : 0),
      flops,
    };
  }
  if (moves.has(operator)) return { kernels: 1, bytes: 2 * written, flops: 0 };
  switch (operator) {
    case 'Softmax': {
      const row = out.shape.at(-1)! * bytesOf({ dtype: out.dtype, shape: [1] });
      return { kernels: 1, bytes: (row > softmaxRow ? 3 : 1) * read[0]! + written, flops: 0 };
    }
    // A copy of the first input, and the updates.
    case 'ScatterElements':
    case 'ScatterND':
      return { kernels: 2, bytes: 2 * written + (read[1] ?? 0) + 2 * (read[2] ?? 0), flops: 0 };
    case 'com.microsoft.GroupQueryAttention': {
      // Causal: half of the scores. Keys and values are copied to the cache that the operator insists on.
      const [rows, length, width] = first!.shape as [number, number, number];
      const flops = 2 * rows * length * length * width;
      return { kernels: 4, bytes: all + bytesOf(second!) + bytesOf(third!), flops };
    }
    default:
      return { kernels: 1, bytes: all, flops: 0 };
  }
}

export function bytesOf({ dtype, shape }: TensorType): number {
  return byteSize(dtype, shape);
}

/** What the shares are told by. */
export const kinds = [
  'products of the base',
  'products of the adapter',
  'products of the head',
  'attention: products',
  'attention: softmax',
  'attention: passes over scores',
  'fused attention',
  'norms',
  'activation',
  'elementwise, sums',
  'casts',
  'copies, transposes, rotary',
  'loss over the vocabulary',
  'optimizer',
] as const;
export type Kind = (typeof kinds)[number];

/** Widest factor of an adapter: wider products are the base's. */
const narrow = 128;

export function kindOf(use: OperatorUse): Kind {
  const { operator, scope, inputs, outputs } = use;
  const out = outputs[0]!.shape;
  const loss = /(^|\.)loss(\.|$)/.test(scope);
  if (operator === 'com.microsoft.GroupQueryAttention') return 'fused attention';
  if (products.has(operator)) {
    const shapes = [inputs[0]!.shape, inputs[1]!.shape, out];
    if (out.length > 2) return 'attention: products';
    if (loss || /lm_head$/.test(scope)) return 'products of the head';
    return Math.min(...shapes.flat()) <= narrow ? 'products of the adapter' : 'products of the base';
  }
  if (loss || /lm_head$/.test(scope)) return 'loss over the vocabulary';
  const attention = /self_attn$|\.attn$/.test(scope) && out.length >= 4;
  if (operator === 'Softmax') return 'attention: softmax';
  if (/norm[^.]*$|ln_\d$|ln_f$/.test(scope)) return operator === 'Cast' ? 'casts' : 'norms';
  if (operator === 'Cast') return 'casts';
  if (moves.has(operator) || operator === 'Concat' || operator === 'com.microsoft.RotaryEmbedding')
    return 'copies, transposes, rotary';
  if (attention) return 'attention: passes over scores';
  if (/mlp$/.test(scope)) return 'activation';
  return 'elementwise, sums';
}
