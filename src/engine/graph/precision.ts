// In which floating-point types a graph computes. A graph is built in fp32; the passes give its values their types.
import type { DType } from '../dtype';

export type FloatType = 'float32' | 'bfloat16' | 'float16';

export interface Precision {
  /** Of products and of what is stored for the backward pass. */
  compute: FloatType;
  /** Of keys and values kept for generation. */
  cache: FloatType;
  /** Whose kernels run the graph: where one is missing in 16 bits, the operator runs in fp32 between casts. */
  device: 'cpu' | 'cuda' | 'webgpu';
}

export const singlePrecision: Precision = { compute: 'float32', cache: 'float32', device: 'cpu' };

/**
 * What a setting means on a device. `auto`: fp32 on the CPU and on WebGPU, whose 16-bit floats cannot be asked for; bfloat16
 * on CUDA devices that have it, else float16.
 * @param capability compute capability of a CUDA device; null where nothing tells.
 */
export function precisionFor(
  dtype: 'auto' | FloatType,
  device: Precision['device'],
  capability: number | null = null,
): Precision {
  const compute = dtype !== 'auto' ? dtype : device !== 'cuda' ? 'float32' : best(capability);
  // CUDA attends to a cache of 16-bit floats only. The CPU has a kernel for fp32.
  const cache =
    device === 'cpu' ? 'float32' : device === 'cuda' && compute === 'float32' ? 'float16' : compute;
  return { compute, cache, device };
}

/** Oldest compute capability with bfloat16 products. */
export const bfloat16Capability = 8;

function best(capability: number | null): FloatType {
  if (capability === null) return 'float32';
  return capability >= bfloat16Capability ? 'bfloat16' : 'float16';
}

export function isFloat(dtype: DType): dtype is FloatType {
  return dtype === 'float32' || dtype === 'bfloat16' || dtype === 'float16';
}
