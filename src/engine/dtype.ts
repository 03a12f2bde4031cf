// Element types: their names across formats and their sizes. The one table that graph, files and runtime share.

export type DType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int64'
  | 'int32'
  | 'int8'
  | 'uint8'
  | 'bool';

interface DTypeInfo {
  /** Size of one element, in bytes. */
  bytes: number;
  /** ONNX TensorProto.DataType, which is also ORT's ONNXTensorElementDataType. */
  onnx: number;
  /** Name in a safetensors header. */
  safetensors: string;
}

export const dtypes: Record<DType, DTypeInfo> = {
  float32: { bytes: 4, onnx: 1, safetensors: 'F32' },
  uint8: { bytes: 1, onnx: 2, safetensors: 'U8' },
  int8: { bytes: 1, onnx: 3, safetensors: 'I8' },
  int32: { bytes: 4, onnx: 6, safetensors: 'I32' },
  int64: { bytes: 8, onnx: 7, safetensors: 'I64' },
  bool: { bytes: 1, onnx: 9, safetensors: 'BOOL' },
  float16: { bytes: 2, onnx: 10, safetensors: 'F16' },
  float64: { bytes: 8, onnx: 11, safetensors: 'F64' },
  bfloat16: { bytes: 2, onnx: 16, safetensors: 'BF16' },
};

/** Number of elements of a static shape; 1 for a scalar. */
export function elements(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** Bytes of a dense tensor. */
export function byteSize(dtype: DType, shape: readonly number[]): number {
  return elements(shape) * dtypes[dtype].bytes;
}
