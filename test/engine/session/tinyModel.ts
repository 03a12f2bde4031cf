// Writes the small ONNX models of the runtime's tests: a list of nodes, ports and constants in, model bytes out.
import protobuf from 'protobufjs';
import type { DType } from '../../../src/engine/dtype';
import { dtypes } from '../../../src/engine/dtype';

export interface TinyPort {
  name: string;
  dtype?: DType;
  shape: readonly (number | string)[];
}

export interface TinyNode {
  op: string;
  inputs: readonly string[];
  outputs: readonly string[];
  domain?: string;
  /** Integer attributes. */
  ints?: Readonly<Record<string, number>>;
}

export interface TinyConstant {
  name: string;
  dtype: DType;
  shape: readonly number[];
  data: ArrayBufferView | { location: string; offset: number; length: number };
}

export interface TinyModel {
  nodes: readonly TinyNode[];
  inputs: readonly TinyPort[];
  outputs: readonly TinyPort[];
  constants?: readonly TinyConstant[];
}

// The part of onnx.proto that the tests use; the field numbers are ONNX's.
const schema = `
syntax = "proto2";
message OperatorSetId { optional string domain = 1; optional int64 version = 2; }
message Attribute { optional string name = 1; optional int64 i = 3; optional int32 type = 20; }
message Node { repeated string input = 1; repeated string output = 2; optional string name = 3; optional string op_type = 4; repeated Attribute attribute = 5; optional string domain = 7; }
message Dimension { optional int64 dim_value = 1; optional string dim_param = 2; }
message Shape { repeated Dimension dim = 1; }
message TensorType { optional int32 elem_type = 1; optional Shape shape = 2; }
message Type { optional TensorType tensor_type = 1; }
message ValueInfo { optional string name = 1; optional Type type = 2; }
message Tensor { repeated int64 dims = 1; optional int32 data_type = 2; optional string name = 8; optional bytes raw_data = 9; repeated Entry external_data = 13; optional int32 data_location = 14; }
message Entry { optional string key = 1; optional string value = 2; }
message Graph { repeated Node node = 1; optional string name = 2; repeated Tensor initializer = 5; repeated ValueInfo input = 11; repeated ValueInfo output = 12; }
message Model { optional int64 ir_version = 1; optional Graph graph = 7; repeated OperatorSetId opset_import = 8; }
`;
const Model = protobuf.parse(schema, { keepCase: true }).root.lookupType('Model');
const attributeTypeInt = 2;
const locationExternal = 1;

export function tinyModel(model: TinyModel): Uint8Array {
  const port = ({ name, dtype = 'float32', shape }: TinyPort) => ({
    name,
    type: {
      tensor_type: {
        elem_type: dtypes[dtype].onnx,
        shape: { dim: shape.map((d) => (typeof d === 'number' ? { dim_value: d } : { dim_param: d })) },
      },
    },
  });
  const message = {
    ir_version: 9,
    graph: {
      name: 'tiny',
      node: model.nodes.map((node, i) => ({
        input: node.inputs,
        output: node.outputs,
        name: `${node.op}_${i}`,
        op_type: node.op,
        domain: node.domain ?? '',
        attribute: Object.entries(node.ints ?? {}).map(([name, i]) => ({ name, i, type: attributeTypeInt })),
      })),
      initializer: (model.constants ?? []).map(({ name, dtype, shape, data }) => ({
        dims: shape,
        data_type: dtypes[dtype].onnx,
        name,
        ...(ArrayBuffer.isView(data)
          ? { raw_data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) }
          : {
              data_location: locationExternal,
              external_data: Object.entries(data).map(([key, value]) => ({ key, value: String(value) })),
            }),
      })),
      input: model.inputs.map(port),
      output: model.outputs.map(port),
    },
    opset_import: [
      { domain: '', version: 18 },
      { domain: 'com.microsoft', version: 1 },
    ],
  };
  return Model.encode(Model.fromObject(message)).finish();
}

/** y = op(x, w), both of one type and shape. */
export function binaryModel(
  op: string,
  shape: readonly (number | string)[],
  dtype: DType = 'float32',
): Uint8Array {
  return tinyModel({
    nodes: [{ op, inputs: ['x', 'w'], outputs: ['y'] }],
    inputs: [
      { name: 'x', dtype, shape },
      { name: 'w', dtype, shape },
    ],
    outputs: [{ name: 'y', dtype, shape }],
  });
}

/** y = x·w·w·…·w, a run that lasts: `count` products of n×n matrices. */
export function longModel(n: number, count: number): Uint8Array {
  const name = (i: number) => (i === 0 ? 'x' : i === count ? 'y' : `t${i}`);
  return tinyModel({
    nodes: Array.from({ length: count }, (_, i) => ({
      op: 'MatMul',
      inputs: [name(i), 'w'],
      outputs: [name(i + 1)],
    })),
    inputs: [
      { name: 'x', shape: [n, n] },
      { name: 'w', shape: [n, n] },
    ],
    outputs: [{ name: 'y', shape: [n, n] }],
  });
}
