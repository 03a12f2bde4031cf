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

export function isFloat(dtype: DType): dtype is FloatType {
  return dtype === 'float32' || dtype === 'bfloat16' || dtype === 'float16';
}
