// The order in which ONNX Runtime runs a graph's nodes: a depth-first walk backwards from the leaves, the last leaf first,
// at every node the input made by the last node first (GraphViewer in ONNX Runtime, core/graph/graph.cc ReverseDFSFrom).
import type { Graph, Node, Value } from '../graph/graph';

/** The nodes in execution order. The graph is one that `lower` returned; fusions that the runtime makes are not known. */
export function executionOrder(graph: Graph): Node[] {
  const index = new Map(graph.nodes.map((node, i) => [node, i]));
  const consumed = new Set<Value>();
  for (const node of graph.nodes) for (const input of node.inputs) if (input) consumed.add(input);

  const order: Node[] = [];
  const visited = new Set<Node>();
  const leaves = graph.nodes.filter((node) => !node.outputs.some((output) => consumed.has(output)));
  const stack = leaves.map((node) => ({ node, leave: false }));
  for (let entry = stack.pop(); entry; entry = stack.pop()) {
    const { node } = entry;
    if (entry.leave) {
      order.push(node);
      continue;
    }
    if (visited.has(node)) continue;
    visited.add(node);
    stack.push({ node, leave: true });
    const producers = new Set<Node>();
    for (const input of node.inputs) if (input?.producer) producers.add(input.producer);
    // The one pushed last is visited first.
    const sorted = [...producers].sort((a, b) => index.get(a)! - index.get(b)!);
    for (const producer of sorted) if (!visited.has(producer)) stack.push({ node: producer, leave: false });
  }
  return order;
}
