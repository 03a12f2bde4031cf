// Which operators a device runs in 16 bits.
import { cudaComputesIn } from './cudaKernels';
import type { Node } from './graph';
import type { OpName } from './ops';
import type { Precision } from './precision';

/** ONNX Runtime's CPU moves 16-bit floats, and computes with few of them: all arithmetic goes through fp32. */
const cpu: ReadonlySet<OpName> = new Set([
  'Cast',
  'Concat',
  'Gather',
  'Identity',
  'Reshape',
  'Slice',
  'Split',
  'Transpose',
]);

/** Whether the device has a kernel of the node's operator for a 16-bit type. WebGPU knows float16 alone. */
export function hasHalfKernel(
  device: Precision['device'],
  node: Pick<Node, 'op' | 'attributes'>,
  type: 'float16' | 'bfloat16',
): boolean {
  if (device === 'cpu') return cpu.has(node.op);
  return device === 'cuda' ? cudaComputesIn(node, type) : type === 'float16';
}
