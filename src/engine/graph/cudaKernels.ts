// ONNX Runtime's CUDA kernels of the operators that we emit, by type, and the check of a graph against them: CUDA runs all of
// it, and without cuDNN, which users need not have.
//
// From docs/OperatorKernels.md of microsoft/onnxruntime at commit 001d12d2 (generated from the registered kernels; main after
// 1.27, the nearest stored to the shipped 1.30), types that we do not have left out. A kernel serves a node where it was
// registered for the version that the operator's schema has in opset 18 (`since`): an open range must begin there.
import type { dtypes } from '../dtype';
import type { Graph, Node, Value } from './graph';
import { opDefinition } from './ops';
import { axisOf, showShape } from './shape';

type Types = readonly (keyof typeof dtypes)[];

interface Kernel {
  /** Version of the schema in opset 18; 1 in com.microsoft. */
  since: number;
  /** Schema versions that the kernel was registered for; null is open. */
  range: readonly [number, number | null];
  /** Of the inputs and outputs that `inputs` and `outputs` do not name. */
  types: Types;
  inputs?: Readonly<Record<number, Types>>;
  outputs?: Readonly<Record<number, Types>>;
  /** For which nodes the kernel asks cuDNN; default none (emulatedCuda/withoutCudnn.test.ts tries it). */
  cudnn?(node: Node): boolean;
}

const half: Types = ['float16', 'bfloat16'];
const narrow: Types = ['float32', 'float16'];
const floats: Types = ['float32', ...half];
const numbers: Types = [...floats, 'int32', 'int64', 'int8', 'uint8'];
const every: Types = [...numbers, 'bool'];
const bool: Types = ['bool'];
const indices: Types = ['int32', 'int64'];
const compared: Types = [...narrow, ...indices];

/** A kernel registered from the schema's version on. */
const open = (since: number, types: Types, more: Partial<Kernel> = {}): Kernel => ({
  since,
  range: [since, null],
  types,
  ...more,
});
/** A kernel of a schema that was revised after opset 18. */
const closed = (since: number, range: readonly [number, number], types: Types): Kernel => ({
  since,
  range,
  types,
});
const comparison = (since: number, types = compared): Kernel => open(since, types, { outputs: { 0: bool } });
const statistics = { outputs: { 1: ['float32'], 2: ['float32'] } } satisfies Partial<Kernel>;

/**
 * Means, sums of squares: matrices have kernels of ONNX Runtime's own, that is where the reduced axes are the first or the last
 * ones, axes of size 1 left out. Other forms ask cuDNN; ReduceSum has a kernel for all.
 */
const matrixOnly = {
  cudnn: ({ inputs, attributes }) => {
    const { shape, dtype } = inputs[0]!;
    const axes = new Set((attributes.axes as readonly number[]).map((axis) => axisOf(axis, shape.length)));
    const reduced = shape.flatMap((size, i) => (size === 1 ? [] : [axes.has(i)]));
    const changes = reduced.filter((own, i) => i > 0 && own !== reduced[i - 1]).length;
    return !narrow.includes(dtype) || changes > 1;
  },
} satisfies Partial<Kernel>;

/** By domain and ONNX's name of the operator. */
const kernels: Readonly<Record<string, Kernel>> = {
  Abs: open(13, numbers),
  Add: open(14, numbers),
  And: open(7, bool),
  Cast: closed(13, [13, 18], [...every, 'float64']),
  Concat: open(13, every),
  Div: open(14, numbers),
  Equal: comparison(13, [...compared, 'bool']),
  Erf: open(13, floats),
  Exp: open(13, floats),
  Expand: open(13, every),
  Gather: open(13, every, { inputs: { 1: indices } }),
  GatherElements: open(13, every, { inputs: { 1: indices } }),
  Gemm: open(13, [...floats, 'float64']),
  Greater: comparison(13),
  GreaterOrEqual: comparison(16),
  Identity: closed(16, [14, 18], every),
  LayerNormalization: open(17, floats, statistics),
  Less: comparison(13),
  Log: open(13, narrow),
  MatMul: open(13, floats),
  Max: open(13, [...floats, ...indices]),
  Min: open(13, [...floats, ...indices]),
  Mul: open(14, numbers),
  Neg: open(13, [...floats, 'int32', 'int64', 'int8']),
  Not: open(1, bool),
  Pow: open(15, [...floats, ...indices]),
  ReduceMax: open(18, compared, { cudnn: () => true }),
  ReduceMean: open(18, [...narrow, 'int32'], matrixOnly),
  ReduceSum: open(13, [...floats, ...indices]),
  ReduceSumSquare: open(18, narrow, matrixOnly),
  Relu: open(14, floats),
  Reshape: closed(14, [14, 18], every),
  ScatterElements: open(18, every, { inputs: { 1: indices } }),
  ScatterND: open(18, every, { inputs: { 1: ['int64'] } }),
  Sigmoid: open(13, floats),
  Sign: open(13, numbers),
  SimplifiedLayerNormalization: open(1, floats, statistics),
  Slice: open(13, every, { inputs: { 1: indices, 2: indices, 3: indices } }),
  Softmax: open(13, floats),
  Split: open(18, every),
  Sqrt: open(13, floats),
  Sub: open(14, numbers),
  Tanh: open(13, floats),
  TopK: open(11, compared, { outputs: { 1: ['int64'] } }),
  Transpose: closed(13, [13, 20], every),
  Where: open(16, [...floats, ...indices, 'uint8'], { inputs: { 0: bool } }),
  'com.microsoft.FastGelu': open(1, floats),
  'com.microsoft.FusedMatMul': open(1, floats),
  'com.microsoft.Gelu': open(1, floats),
  'com.microsoft.GroupQueryAttention': open(1, half, { inputs: { 5: ['int32'], 6: ['int32'] } }),
  'com.microsoft.MatMulBnb4': open(1, floats, { inputs: { 1: ['uint8'] } }),
  'com.microsoft.QuickGelu': open(1, floats),
  'com.microsoft.RotaryEmbedding': open(1, floats, { inputs: { 1: ['int64'] } }),
};

/** A node that CUDA would leave to the CPU, or cannot run without cuDNN. */
export interface CudaGap {
  /** As ONNX names it. */
  operator: string;
  /** Version of its schema in opset 18; undefined where no kernel of it is known at all. */
  since: number | undefined;
  /** The types that no kernel takes, by place: `input 0 is bfloat16`. */
  types: readonly string[];
  scope: string;
  /** The axes and shapes for which its kernel asks cuDNN. */
  cudnn?: string;
}

/** The nodes of a lowered graph that have no CUDA kernel of ONNX Runtime's own. */
export function cudaGaps(graph: Graph): CudaGap[] {
  return graph.nodes.flatMap((node) => {
    const operator = onnxName(node);
    const kernel = kernels[operator];
    const gap = { operator, since: kernel?.since, scope: node.scope || graph.name };
    if (!kernel) return [{ ...gap, types: typesOf(node) }];
    const types = [
      ...wrong('input', node.inputs, kernel.types, kernel.inputs),
      ...wrong('output', node.outputs, kernel.types, kernel.outputs),
    ];
    if (types.length > 0 || !serves(kernel)) return [{ ...gap, types }];
    return kernel.cudnn?.(node) ? [{ ...gap, types, cudnn: formOf(node) }] : [];
  });
}

/** One line about a gap. */
export function describeGap({ operator, since, types, scope, cudnn }: CudaGap): string {
  if (cudnn !== undefined) return `${operator} in ${scope}: its kernel needs cuDNN for ${cudnn}`;
  const what = since === undefined ? 'no kernel' : `no kernel for opset 18 (schema ${since})`;
  return `${operator} in ${scope}: ${what}${types.length > 0 ? `, ${types.join(', ')}` : ''}`;
}

/** Whether CUDA runs an operator in a 16-bit type. */
export function cudaComputesIn(node: Pick<Node, 'op' | 'attributes'>, type: 'float16' | 'bfloat16'): boolean {
  return kernels[onnxName(node)]?.types.includes(type) ?? false;
}

function serves({ since, range: [from, to] }: Kernel): boolean {
  return from === since || (to !== null && from < since && since <= to);
}

function onnxName({ op, attributes }: Pick<Node, 'op' | 'attributes'>): string {
  const { domain, onnx } = opDefinition(op);
  const name = onnx?.(attributes).opType ?? op;
  return domain === '' ? name : `${domain}.${name}`;
}

function wrong(
  side: string,
  values: readonly (Value | null)[],
  usual: Types,
  special: Readonly<Record<number, Types>> = {},
): string[] {
  return values.flatMap((value, i) =>
    value && !(special[i] ?? usual).includes(value.dtype) ? [`${side} ${i} is ${value.dtype}`] : [],
  );
}

function formOf({ inputs, attributes }: Node): string {
  const shapes = inputs.flatMap((input) => (input ? [`${input.dtype}${showShape(input.shape)}`] : []));
  const { axes } = attributes;
  return `${shapes.join(', ')}${Array.isArray(axes) ? ` over axes ${axes.join(', ')}` : ''}`;
}

function typesOf({ inputs, outputs }: Node): string[] {
  return [...wrong('input', inputs, []), ...wrong('output', outputs, [])];
}
