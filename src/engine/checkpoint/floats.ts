// fp32 numbers as the bytes of any floating-point type.
import type { FloatType } from '../graph/precision';
import { f32ToBf16, f32ToF16 } from './halfFloat';

/** The values in `type`, to nearest, ties to even; the array itself for float32. */
export function floatsIn(type: FloatType, values: Float32Array): Float32Array | Uint16Array {
  if (type === 'float32') return values;
  return type === 'bfloat16' ? f32ToBf16(values) : f32ToF16(values);
}
