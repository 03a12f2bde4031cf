// Turns a built graph into one that only holds plain operators: dead nodes dropped, `workbench` operators expanded.
import { GraphBuilder } from '../builder';
import type { Graph, Node, Value } from '../graph';
import { opDefinition } from '../ops';
import type { Precision } from '../precision';

/**
 * Returns an equal program without `workbench` operators and without nodes that no output needs. Emission order stays, but
 * for `fresh` values: each of their readers gets its own, whose nodes stand before all others. The runtime's walk (see
 * estimate/executionOrder.ts) takes a node's earliest input last, so that such a value is made right before it is read. Else
 * the δ·W of a module without an adapter would have W made first, and keep it until δ has come down to the module.
 */
export function lower(graph: Graph, device: Precision['device'] = 'cpu'): Graph {
  const needed = neededValues(
    graph.nodes,
    graph.outputs.map((o) => o.value),
  );
  const b = new GraphBuilder(graph.name);
  const mapped = new Map<Value, Value>();
  for (const input of graph.inputs) mapped.set(input, b.input(input.name, input.dtype, input.shape));
  const fresh = freshNodes(graph.nodes);
  const early: Node[] = [];
  const anew = (node: Node, output: number): Value => {
    const start = b.nodes.length;
    const wanted = node.outputs.map((_, i) => i === output);
    const result = emit(b, node, node.inputs.map(map), wanted, device)[output]!;
    early.push(...b.nodes.splice(start));
    return result;
  };
  const map = (value: Value | null): Value | null => {
    if (!value) return null;
    if (value.producer && fresh.has(value.producer)) return anew(value.producer, value.outputIndex);
    const known = mapped.get(value);
    if (known || !value.data) return known ?? value;
    // Constants are made anew, so that their names stay apart from those of the expansions.
    const constant = b.constant(value.dtype, value.shape, value.data, value.name);
    mapped.set(value, constant);
    return constant;
  };
  for (const node of graph.nodes) {
    const wanted = node.outputs.map((output) => needed.has(output));
    if (fresh.has(node) || !wanted.some(Boolean)) continue;
    const results =
      b.scope(node.scope, () => opDefinition(node.op).onDevice?.(b, node, (value) => map(value)!, device)) ??
      emit(b, node, node.inputs.map(map), wanted, device);
    node.outputs.forEach((output, i) => {
      const result = results[i];
      if (result) mapped.set(output, result);
    });
  }
  const outputs = graph.outputs.map((o) => ({ name: o.name, value: map(o.value)! }));
  const whole = b.finish(outputs);
  return dropDead({ ...whole, nodes: [...early, ...whole.nodes] });
}

/** The nodes of `fresh` operators, and casts of their values. */
function freshNodes(nodes: readonly Node[]): Set<Node> {
  const fresh = new Set<Node>();
  for (const node of nodes) {
    const source = node.inputs[0]?.producer;
    if (opDefinition(node.op).fresh || (node.op === 'Cast' && source && fresh.has(source))) fresh.add(node);
  }
  return fresh;
}

function emit(
  b: GraphBuilder,
  node: Node,
  inputs: (Value | null)[],
  wanted: boolean[],
  device: Precision['device'],
): readonly (Value | null)[] {
  const definition = opDefinition(node.op);
  return b.scope(node.scope, () =>
    definition.expand
      ? definition.expand(b, inputs, node.attributes, wanted, device)
      : b.apply(node.op, inputs, node.attributes as never, { name: node.op, keep: node.keep }),
  );
}

/** The program without nodes that no output needs. Inputs stay, used or not: they are its signature. */
function dropDead(graph: Graph): Graph {
  const needed = neededValues(
    graph.nodes,
    graph.outputs.map((o) => o.value),
  );
  return { ...graph, nodes: graph.nodes.filter((node) => node.outputs.some((output) => needed.has(output))) };
}

function neededValues(nodes: readonly Node[], roots: readonly Value[]): Set<Value> {
  const needed = new Set<Value>(roots);
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    if (!node.outputs.some((output) => needed.has(output))) continue;
    for (const input of node.inputs) if (input) needed.add(input);
  }
  return needed;
}
