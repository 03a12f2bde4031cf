// Which operators a device runs in 16 bits.
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

/** Whether the device has a kernel of the operator for a 16-bit type. */
export function hasHalfKernel(
  device: Precision['device'],
  op: OpName,
  type: 'float16' | 'bfloat16',
): boolean {
  if (device === 'cpu') return cpu.has(op);
  return type === 'float16';
}
