// A model's operators with shapes and types: as it was encoded, or as ONNX Runtime's own CUDA provider sees it after the rewrites
// of opening a session. The latter needs the provider's folder and stand-ins for CUDA's libraries, or a GPU.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type DType, dtypes } from '../../src/engine/dtype';
import type { Graph } from '../../src/engine/graph/graph';
import { encodeModel } from '../../src/engine/onnx/encode';
import { ModelProto } from '../../src/engine/onnx/schema';
import type { Runtime } from '../../src/engine/session';
import type { OperatorUse, TensorType } from './costs';

interface TypeMessage {
  name: string;
  type?: { tensorType?: { elemType?: number; shape?: { dim?: { dimValue?: number }[] } } };
}
interface GraphMessage {
  node: {
    input: string[];
    output: string[];
    name: string;
    opType: string;
    domain?: string;
    attribute: { name: string; i?: number; f?: number }[];
  }[];
  initializer: { name: string; dims: number[]; dataType: number }[];
  input: TypeMessage[];
  output: TypeMessage[];
  valueInfo: TypeMessage[];
}

/** The operators of a graph as it is encoded. */
export function encodedOperators(graph: Graph): OperatorUse[] {
  return operators(encodeModel(graph), graph);
}

/** The operators that are left when the runtime has opened a session for the graph. */
export async function optimizedOperators(runtime: Runtime, graph: Graph): Promise<OperatorUse[]> {
  const folder = mkdtempSync(join(tmpdir(), 'lora-workbench-census-'));
  try {
    const optimizedModelPath = join(folder, 'model.onnx');
    const session = await runtime.createSession(encodeModel(graph), { optimizedModelPath });
    session.release();
    return operators(readFileSync(optimizedModelPath), graph);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function operators(model: Uint8Array, graph: Graph): OperatorUse[] {
  const message = ModelProto.toObject(ModelProto.decode(model), {
    longs: Number,
    defaults: true,
    arrays: true,
  });
  const { node, initializer, input, output, valueInfo } = message.graph as GraphMessage;
  const types = new Map<string, TensorType>();
  for (const { name, type } of [...valueInfo, ...input, ...output]) {
    const dims = type?.tensorType?.shape?.dim?.map(({ dimValue }) => Number(dimValue));
    if (type?.tensorType?.elemType && dims)
      types.set(name, { dtype: dtypeOf(type.tensorType.elemType), shape: dims });
  }
  for (const { name, dims, dataType } of initializer)
    types.set(name, { dtype: dtypeOf(dataType), shape: dims });
  // Names of values outlive the runtime's rewrites; outputs carry the graph's names.
  for (const value of [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)])
    types.set(value.name, { dtype: value.dtype, shape: value.shape });
  for (const { name, value } of graph.outputs) types.set(name, { dtype: value.dtype, shape: value.shape });
  return node.map((one) => ({
    operator: one.domain ? `${one.domain}.${one.opType}` : one.opType,
    scope: one.name.replace(/^\d+ /, ''),
    inputs: one.input.map((name) => (name === '' ? null : typeOf(types, name, one.opType))),
    outputs: one.output.filter(Boolean).map((name) => typeOf(types, name, one.opType)),
    attributes: Object.fromEntries(one.attribute.map(({ name, i, f }) => [name, i || f || 0])),
  }));
}

function typeOf(types: ReadonlyMap<string, TensorType>, name: string, operator: string): TensorType {
  const type = types.get(name);
  if (!type) throw new Error(`${operator}: the type of ${name} is not known.`);
  return type;
}

const byNumber = new Map(Object.entries(dtypes).map(([name, { onnx }]) => [onnx, name as DType]));

function dtypeOf(onnx: number): DType {
  const dtype = byNumber.get(onnx);
  if (!dtype) throw new Error(`The model has a tensor of ONNX's type ${onnx}.`);
  return dtype;
}
