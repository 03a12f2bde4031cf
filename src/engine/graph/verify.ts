// What every finished graph must satisfy, and the proof that a state tensor may be updated in the buffer it was read from.
import { invariant } from '../errors';
import type { Graph, Node, Value } from './graph';
import { opDefinition } from './ops';
import { failFor } from './ops/definition';
import { sameShape } from './shape';

/** Throws unless every value is defined once and before its use, and every recorded type is the inferred one. */
export function verify(graph: Graph): void {
  const defined = new Set<Value>();
  const names = new Set<string>();
  const define = (value: Value): void => {
    if (defined.has(value)) return;
    invariant(!names.has(value.name), `the value ${value.name} has a name of its own`);
    names.add(value.name);
    defined.add(value);
  };
  graph.inputs.forEach(define);
  for (const node of graph.nodes) {
    for (const input of node.inputs) {
      if (input?.data) define(input);
      invariant(
        !input || defined.has(input),
        `${input?.name} is defined before ${node.op} in ${node.scope} uses it`,
      );
    }
    const types = opDefinition(node.op).infer(
      node.inputs,
      node.attributes,
      failFor(node.op, node.scope, node.inputs),
    );
    node.outputs.forEach((output, i) => {
      const type = types[i];
      invariant(
        type && type.dtype === output.dtype && sameShape(type.shape, output.shape),
        `${output.name} has its inferred type`,
      );
      define(output);
    });
  }
  for (const output of graph.outputs) {
    invariant(
      defined.has(output.value) || output.value.data,
      `the output ${output.name} is made by the graph`,
    );
  }
}

/** Operators that ORT runs element by element, so that writing over the input they read is safe. */
const elementwise = new Set(['Add', 'Sub', 'Mul', 'Div', 'Where']);
/** Operators whose result shares its input's memory. */
const views = new Set(['Reshape', 'Identity']);

/**
 * Throws unless each `output` may be written into the buffer of its `input`: every reader of the input must have finished
 * before the output's producer starts, or be that producer working element by element. ORT runs nodes in an order that we
 * cannot set, so only data dependencies count.
 */
export function verifyInPlace(graph: Graph, pairs: readonly { input: string; output: string }[]): void {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const input of new Set(node.inputs)) {
      if (!input) continue;
      const list = readers.get(input);
      if (list === undefined) readers.set(input, [node]);
      else list.push(node);
    }
  }
  for (const pair of pairs) {
    const input = graph.inputs.find((value) => value.name === pair.input);
    const output = graph.outputs.find((o) => o.name === pair.output)?.value;
    invariant(input && output, `${pair.input} and ${pair.output} are an input and an output`);
    const producer = output.producer;
    invariant(
      producer && sameShape(input.shape, output.shape),
      `${pair.output} is computed and has the shape of ${pair.input}`,
    );
    const before = ancestors(producer);
    for (const { reader, read } of readersThroughViews(input, readers)) {
      const safe =
        before.has(reader) ||
        (reader === producer && elementwise.has(reader.op) && sameShape(read.shape, output.shape));
      invariant(
        safe,
        `${reader.op} in ${reader.scope || graph.name} reads ${pair.input} before ${pair.output} overwrites it`,
      );
    }
  }
}

function readersThroughViews(value: Value, readers: Map<Value, Node[]>): { reader: Node; read: Value }[] {
  return (readers.get(value) ?? []).flatMap((reader) =>
    views.has(reader.op) ? readersThroughViews(reader.outputs[0]!, readers) : [{ reader, read: value }],
  );
}

function ancestors(node: Node): Set<Node> {
  const found = new Set<Node>();
  const stack: Node[] = [node];
  for (let next = stack.pop(); next; next = stack.pop()) {
    for (const input of next.inputs) {
      const producer = input?.producer;
      if (producer && !found.has(producer)) {
        found.add(producer);
        stack.push(producer);
      }
    }
  }
  return found;
}
