// Reads the names, types and shapes of a loaded model's inputs and outputs, and checks a tensor against one of them.
import type { DType } from '../dtype';
import { dtypes } from '../dtype';
import { SessionError } from '../errors';
import type { DeviceTensor, PortDescription } from './contract';
import type { OrtApi, Pointer } from './ortApi';
import { cString, pointerArray } from './ortApi';
import { describe } from './tensor';

/** @throws SessionError `port-unsupported` for a type that we do not carry (strings, sequences, …). */
export function readPorts(api: OrtApi, session: Pointer, side: 'Input' | 'Output'): PortDescription[] {
  const count: [number] = [0];
  api.call(`SessionGet${side}Count`, session, count);
  const allocator = api.make('GetAllocatorWithDefaultOptions');
  return Array.from({ length: count[0] }, (_, place) => {
    const owned = api.make(`SessionGet${side}Name`, session, place, allocator);
    const name = cString(owned);
    api.call('AllocatorFree', allocator, owned);
    const info = api.make(`SessionGet${side}TypeInfo`, session, place);
    try {
      return { name, ...readType(api, info, name) };
    } finally {
      api.get('ReleaseTypeInfo', info);
    }
  });
}

/** @throws SessionError `binding-mismatch` where the tensor's type or a known dimension differs from the port's. */
export function assertFits(port: PortDescription, tensor: DeviceTensor): void {
  const fits =
    port.dtype === tensor.dtype &&
    port.shape.length === tensor.shape.length &&
    port.shape.every((dim, axis) => typeof dim !== 'number' || dim === tensor.shape[axis]);
  if (fits) return;
  throw new SessionError({
    code: 'binding-mismatch',
    message: `${port.name} is ${describe(port.dtype, port.shape)}; the bound tensor is ${describe(tensor.dtype, tensor.shape)}.`,
    remedy: 'Bind a tensor of the declared type and shape.',
  });
}

function readType(
  api: OrtApi,
  info: Pointer,
  name: string,
): { dtype: DType; shape: PortDescription['shape'] } {
  const tensorInfo: [Pointer | null] = [null];
  api.call('CastTypeInfoToTensorInfo', info, tensorInfo);
  if (tensorInfo[0] === null) throw unsupported(name, 'not a tensor');
  const type: [number] = [0];
  api.call('GetTensorElementType', tensorInfo[0], type);
  const dtype = (Object.keys(dtypes) as DType[]).find((candidate) => dtypes[candidate].onnx === type[0]);
  if (!dtype) throw unsupported(name, `of ONNX element type ${type[0]}`);
  const rank: [number] = [0];
  api.call('GetDimensionsCount', tensorInfo[0], rank);
  // One spare element, because an empty array has no address.
  const sizes = new BigInt64Array(rank[0] + 1);
  const symbols = new BigUint64Array(rank[0] + 1);
  api.call('GetDimensions', tensorInfo[0], sizes, rank[0]);
  api.call('GetSymbolicDimensions', tensorInfo[0], symbols, rank[0]);
  const shape = Array.from({ length: rank[0] }, (_, axis) => {
    const size = Number(sizes[axis]);
    if (size >= 0) return size;
    const symbol = symbols[axis] as bigint;
    return (symbol === 0n ? '' : cString(symbol)) || null;
  });
  return { dtype, shape };
}

/** A session's operators and the providers that run them. */
export function readAssignments(api: OrtApi, session: Pointer) {
  const array: [Pointer | null] = [null];
  const count: [number] = [0];
  api.call('Session_GetEpGraphAssignmentInfo', session, array, count);
  return pointerArray(array[0], count[0]).flatMap((subgraph) => {
    const provider = cString(api.make('EpAssignedSubgraph_GetEpName', subgraph));
    const nodes: [Pointer | null] = [null];
    const nodeCount: [number] = [0];
    api.call('EpAssignedSubgraph_GetNodes', subgraph, nodes, nodeCount);
    return pointerArray(nodes[0], nodeCount[0]).map((node) => ({
      node: cString(api.make('EpAssignedNode_GetName', node)),
      operator: cString(api.make('EpAssignedNode_GetOperatorType', node)),
      provider,
    }));
  });
}

function unsupported(name: string, what: string): SessionError {
  return new SessionError({
    code: 'port-unsupported',
    message: `The model's input or output ${name} is ${what}.`,
    remedy: 'Emit tensors of the element types that the engine lists.',
  });
}
