// A graph as text, a line a node, for people and for comparisons in tests.
import type { AttributeValue, Graph, Value } from './graph';

/** For example `model.norm/y: float32[8, 64] = Mul(x, w)  # model.norm`. */
export function printGraph(graph: Graph): string {
  const type = (v: Value): string => `${v.dtype}[${v.shape.join(', ')}]`;
  const lines = [`graph ${graph.name}`];
  for (const input of graph.inputs) lines.push(`  in  ${input.name}: ${type(input)}`);
  for (const node of graph.nodes) {
    const outputs = node.outputs.map((v) => `${v.name}: ${type(v)}`).join(', ');
    const inputs = node.inputs.map((v) => (v === null ? '_' : v.data ? showConstant(v) : v.name));
    const attributes = Object.entries(node.attributes).map(
      ([key, value]) => `${key}=${showAttribute(value)}`,
    );
    lines.push(`  ${outputs} = ${node.op}(${[...inputs, ...attributes].join(', ')})`);
  }
  for (const output of graph.outputs) lines.push(`  out ${output.name} = ${output.value.name}`);
  return `${lines.join('\n')}\n`;
}

function showConstant(value: Value): string {
  const data = value.data!;
  if (data.length > 8) return `${value.name}: ${value.dtype}[${value.shape.join(', ')}]`;
  return value.shape.length === 0 ? String(data[0]) : `{${Array.from<number | bigint>(data).join(', ')}}`;
}

function showAttribute(value: AttributeValue): string {
  if (typeof value === 'object' && 'float' in value) return `${value.float}`;
  return typeof value === 'object' ? `[${value.join(', ')}]` : String(value);
}
