// Turns a built graph into one that only holds plain operators: dead nodes dropped, `workbench` operators expanded.
import { GraphBuilder } from '../builder';
import type { Graph, Node, Value } from '../graph';
import { opDefinition } from '../ops';

/** Returns an equal program without `workbench` operators and without nodes that no output needs. Emission order stays. */
export function lower(graph: Graph): Graph {
  const needed = neededValues(
    graph.nodes,
    graph.outputs.map((o) => o.value),
  );
  const b = new GraphBuilder(graph.name);
  const mapped = new Map<Value, Value>();
  for (const input of graph.inputs) mapped.set(input, b.input(input.name, input.dtype, input.shape));
  const map = (value: Value | null): Value | null => {
    if (!value) return null;
    const known = mapped.get(value);
    if (known || !value.data) return known ?? value;
    // Constants are made anew, so that their names stay apart from those of the expansions.
    const constant = b.constant(value.dtype, value.shape, value.data, value.name);
    mapped.set(value, constant);
    return constant;
  };
  for (const node of graph.nodes) {
    const wanted = node.outputs.map((output) => needed.has(output));
    if (!wanted.some(Boolean)) continue;
    const results = emit(b, node, node.inputs.map(map), wanted);
    node.outputs.forEach((output, i) => {
      const result = results[i];
      if (result) mapped.set(output, result);
    });
  }
  const outputs = graph.outputs.map((o) => ({ name: o.name, value: map(o.value)! }));
  return dropDead(b.finish(outputs));
}

function emit(
  b: GraphBuilder,
  node: Node,
  inputs: (Value | null)[],
  wanted: boolean[],
): readonly (Value | null)[] {
  const definition = opDefinition(node.op);
  return b.scope(node.scope, () =>
    definition.expand
      ? definition.expand(b, inputs, node.attributes, wanted)
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
