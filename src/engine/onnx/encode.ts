// Writes a lowered graph as ONNX bytes: opset 18 plus com.microsoft, because newer opsets lose CUDA kernels. Emission order
// stays. Static arguments that ONNX takes as inputs become small initializers here.
import { byteSize, dtypes } from '../dtype';
import { invariant } from '../errors';
import type { AttributeValue, Graph, Value } from '../graph/graph';
import { opDefinition } from '../graph/ops';
import { attributeTypes, ModelProto } from './schema';

const OPSET = 18;
const IR_VERSION = 8;

interface TensorMessage {
  dims: number[];
  dataType: number;
  name: string;
  rawData: Uint8Array;
}

/** Encodes a program that `lower` returned. */
export function encodeModel(graph: Graph): Uint8Array {
  const initializers = new Map<string, TensorMessage>();
  const constant = (value: Value): string => {
    if (!initializers.has(value.name)) {
      const data = value.data!;
      const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      invariant(
        bytes.length === byteSize(value.dtype, value.shape),
        `the constant ${value.name} holds its shape`,
      );
      initializers.set(value.name, tensor(value.name, value.dtype, value.shape, bytes));
    }
    return value.name;
  };
  const ints = (values: readonly number[]): string => {
    const name = `ints[${values.join(',')}]`;
    if (!initializers.has(name)) {
      const data = BigInt64Array.from(values, BigInt);
      initializers.set(name, tensor(name, 'int64', [values.length], new Uint8Array(data.buffer)));
    }
    return name;
  };

  const nodes = graph.nodes.map((node, i) => {
    const definition = opDefinition(node.op);
    const form = definition.onnx?.(node.attributes) ?? {};
    const inputs = [...node.inputs, ...(form.ints ?? []).map(ints)];
    return {
      input: inputs.map((input) =>
        input === null ? '' : typeof input === 'string' ? input : input.data ? constant(input) : input.name,
      ),
      output: node.outputs.map((output) => output.name),
      name: `${i} ${node.scope}`,
      opType: form.opType ?? node.op,
      attribute: Object.entries(form.attributes ?? node.attributes).map(([name, value]) =>
        attribute(name, value),
      ),
      domain: definition.domain,
    };
  });
  // ONNX outputs carry the name of the value that makes them; an Identity gives ours where the names differ.
  for (const output of graph.outputs) {
    const source = output.value.data ? constant(output.value) : output.value.name;
    const renameable = nodes.find((node) => node.output.includes(source));
    const shared = graph.outputs.filter((o) => o.value === output.value).length > 1;
    if (renameable && !shared) {
      for (const node of nodes) {
        node.input = node.input.map((name) => (name === source ? output.name : name));
        node.output = node.output.map((name) => (name === source ? output.name : name));
      }
    } else {
      nodes.push({
        input: [source],
        output: [output.name],
        name: output.name,
        opType: 'Identity',
        attribute: [],
        domain: '',
      });
    }
  }
  const model = {
    irVersion: IR_VERSION,
    producerName: 'lora-workbench',
    opsetImport: [
      { domain: '', version: OPSET },
      { domain: 'com.microsoft', version: 1 },
    ],
    graph: {
      name: graph.name,
      node: nodes,
      initializer: [...initializers.values()],
      input: graph.inputs.map((value) => valueInfo(value.name, value)),
      output: graph.outputs.map((output) => valueInfo(output.name, output.value)),
    },
  };
  return ModelProto.encode(model).finish();
}

function tensor(
  name: string,
  dtype: Value['dtype'],
  shape: readonly number[],
  rawData: Uint8Array,
): TensorMessage {
  return { dims: [...shape], dataType: dtypes[dtype].onnx, name, rawData };
}

function valueInfo(name: string, value: Value) {
  const dim = value.shape.map((dimValue) => ({ dimValue }));
  return { name, type: { tensorType: { elemType: dtypes[value.dtype].onnx, shape: { dim } } } };
}

function attribute(name: string, value: AttributeValue) {
  if (typeof value === 'number') return { name, i: value, type: attributeTypes.int };
  if (typeof value === 'string')
    return { name, s: new TextEncoder().encode(value), type: attributeTypes.string };
  if ('float' in value) return { name, f: value.float, type: attributeTypes.float };
  return { name, ints: [...value], type: attributeTypes.ints };
}
