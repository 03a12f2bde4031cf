// The memory that a graph's intermediate values take while it runs, by the rules of ONNX Runtime's planner: values die with
// their last reader, views and in-place operators share their input's buffer, and a buffer that died serves the next value
// of the same type and shape. Inputs and outputs are bound by the caller and count nothing.
import { byteSize } from '../dtype';
import type { Graph, Node, OpName, Value } from '../graph/graph';
import { broadcastShapes, sameShape } from '../graph/shape';
import { Arena } from './arena';
import { executionOrder } from './executionOrder';

/** CPU kernels whose output may take the place of their first input when it dies there (measured: arithmetic never does). */
const inPlace = new Set<OpName>(['Tanh', 'Sigmoid', 'Relu', 'Softmax', 'ScatterElements']);
/** Scratch tensors of a kernel while it runs. Where masks each side by itself before it joins them (measured). */
const scratch: Partial<Record<OpName, (node: Node) => number[]>> = {
  Where: ({ inputs: [condition, a, b], outputs }) =>
    [a, b].map((side) => byteSize(outputs[0]!.dtype, broadcastShapes(condition!.shape, side!.shape))),
  // The kernel writes the whole weight out before it multiplies.
  MatMulBnb4: ({ attributes }) => [4 * Number(attributes.N) * Number(attributes.K)],
};
/** Kernels whose output is their input under another shape. */
const views = new Set<OpName>(['Reshape', 'Identity']);

export interface Liveness {
  /** The most that is allocated at once, in bytes. */
  peakBytes: number;
  /** The same without what the arena wastes: the most that was asked for at once. */
  liveBytes: number;
  /** What the arena then holds from the system. */
  reservedBytes: number;
  /** The node that runs at that moment. */
  peakNode: Node | undefined;
}

interface Buffer {
  value: Value;
  bytes: number;
  /** Readers still to come, of all values that share it. */
  uses: number;
  /** Bound by the caller, or a constant: not ours to count. */
  outside: boolean;
}

/** Walks the graph in execution order. */
export function liveness(graph: Graph): Liveness {
  const order = executionOrder(graph);
  const readers = new Map<Value, number>();
  for (const node of order) {
    for (const input of node.inputs) if (input) readers.set(input, (readers.get(input) ?? 0) + 1);
  }
  const outputs = new Set(graph.outputs.map((output) => output.value));
  const { starts, ends } = planBuffers(order, readers, outputs);

  const arena = new Arena();
  const chunks = new Map<Buffer, ReturnType<Arena['allocate']>>();
  let peakNode: Node | undefined;
  let live = 0;
  let liveBytes = 0;
  order.forEach((node, i) => {
    const before = arena.peakBytes;
    for (const buffer of starts.get(i) ?? []) {
      chunks.set(buffer, arena.allocate(buffer.bytes));
      live += buffer.bytes;
    }
    const scratchBytes = scratch[node.op]?.(node) ?? [];
    const temporary = scratchBytes.map((bytes) => arena.allocate(bytes));
    liveBytes = Math.max(
      liveBytes,
      scratchBytes.reduce((sum, bytes) => sum + bytes, live),
    );
    for (const chunk of temporary) arena.release(chunk);
    if (arena.peakBytes > before) peakNode = node;
    for (const buffer of ends.get(i) ?? []) {
      arena.release(chunks.get(buffer)!);
      live -= buffer.bytes;
    }
  });
  return { peakBytes: arena.peakBytes, liveBytes, reservedBytes: arena.reservedBytes, peakNode };
}

/** Gives every value a buffer, and every buffer the steps at which it is allocated and freed. */
function planBuffers(
  order: readonly Node[],
  readers: ReadonlyMap<Value, number>,
  outputs: ReadonlySet<Value>,
) {
  const bufferOf = new Map<Value, Buffer>();
  const starts = new Map<number, Buffer[]>();
  const lastUse = new Map<Buffer, number>();
  /** Dead buffers by type and shape, the one that died last at the end. */
  const free = new Map<string, Buffer[]>();
  const dead = new Set<Buffer>();

  const bufferFor = (value: Value): Buffer => {
    let buffer = bufferOf.get(value);
    if (!buffer) {
      // Not made by any node: an input or a constant.
      buffer = { value, bytes: 0, uses: Number.POSITIVE_INFINITY, outside: true };
      bufferOf.set(value, buffer);
    }
    return buffer;
  };
  const share = (buffer: Buffer, value: Value): void => {
    buffer.uses += readers.get(value) ?? 0;
    bufferOf.set(value, buffer);
  };

  const place = (node: Node, output: Value, position: number, step: number): void => {
    if (outputs.has(output)) {
      bufferOf.set(output, { value: output, bytes: 0, uses: Number.POSITIVE_INFINITY, outside: true });
      return;
    }
    const { dtype, shape } = output;
    const reused = position === 0 ? reusableInput(node, output, bufferFor) : undefined;
    if (reused) {
      share(reused, output);
      return;
    }
    // Scalars are never served from the dead.
    const served = shape.length > 0 ? free.get(keyOf(output))?.pop() : undefined;
    if (served) {
      dead.delete(served);
      share(served, output);
    } else {
      const buffer = {
        value: output,
        bytes: byteSize(dtype, shape),
        uses: readers.get(output) ?? 0,
        outside: false,
      };
      bufferOf.set(output, buffer);
      append(starts, step, buffer);
    }
  };

  order.forEach((node, step) => {
    for (const [position, output] of node.outputs.entries()) place(node, output, position, step);
    const died = (buffer: Buffer): void => {
      if (buffer.outside) return;
      append(free, keyOf(buffer.value), buffer);
      dead.add(buffer);
    };
    for (const input of node.inputs) {
      if (!input) continue;
      const buffer = bufferFor(input);
      lastUse.set(buffer, step);
      if (--buffer.uses === 0) died(buffer);
    }
    for (const output of node.outputs) {
      const buffer = bufferFor(output);
      if (!lastUse.has(buffer) || lastUse.get(buffer)! < step) lastUse.set(buffer, step);
      if (buffer.uses === 0 && !dead.has(buffer)) died(buffer);
    }
  });
  const ends = new Map<number, Buffer[]>();
  for (const [buffer, step] of lastUse) {
    if (!buffer.outside) append(ends, step, buffer);
  }
  return { starts, ends };
}

function keyOf({ dtype, shape }: Value): string {
  return `${dtype} ${shape.join(' ')}`;
}

function append<Key>(lists: Map<Key, Buffer[]>, key: Key, buffer: Buffer): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [buffer]);
  else list.push(buffer);
}

function reusableInput(node: Node, output: Value, bufferFor: (value: Value) => Buffer): Buffer | undefined {
  if (views.has(node.op)) return bufferFor(node.inputs[0]!);
  const input = node.inputs[0];
  if (!inPlace.has(node.op) || !input || !sameShape(input.shape, output.shape)) return undefined;
  const buffer = bufferFor(input);
  return buffer.uses === 1 ? buffer : undefined;
}
