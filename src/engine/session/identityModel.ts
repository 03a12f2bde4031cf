// The smallest model: y = Identity(x) for one element type and any shape. It opens a device and carries copies to and
// from it; written as protobuf bytes here because the runtime must not depend on the compiler's encoder.
import type { DType } from '../dtype';
import { dtypes } from '../dtype';

const irVersion = 9;
const opset = 18;

/** ONNX bytes of a model with input `x` and output `y`. Field numbers are those of onnx.proto. */
export function identityModel(dtype: DType): Uint8Array {
  const port = (name: string) => [...text(1, name), ...message(2, message(1, varint(1, dtypes[dtype].onnx)))];
  const node = [...text(1, 'x'), ...text(2, 'y'), ...text(4, 'Identity')];
  const graph = [
    ...message(1, node),
    ...text(2, 'identity'),
    ...message(11, port('x')),
    ...message(12, port('y')),
  ];
  const opsetImport = [...text(1, ''), ...varint(2, opset)];
  return Uint8Array.from([...varint(1, irVersion), ...message(7, graph), ...message(8, opsetImport)]);
}

/** All numbers here are below 128, so that each is one byte; lengths too. */
function varint(field: number, value: number): number[] {
  return [field << 3, value];
}

function message(field: number, body: readonly number[]): number[] {
  return [(field << 3) | 2, body.length, ...body];
}

function text(field: number, value: string): number[] {
  return message(field, [...new TextEncoder().encode(value)]);
}
