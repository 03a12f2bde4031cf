// Makes a lowered graph one that a device has kernels for: an operator without a 16-bit kernel there computes in fp32 between
// casts. Values are rounded to 16 bits at the same places as on a device that has all kernels.
import type { DType } from '../../dtype';
import type { Graph, Node } from '../graph';
import { isFloat, type Precision } from '../precision';
import { GraphCopy } from './copy';

/** Whether a device runs an operator in a 16-bit type. */
export type HasKernel = (node: Node, type: 'float16' | 'bfloat16') => boolean;

/** The graph itself where nothing is in 16 bits. */
export function bridge(graph: Graph, precision: Precision, hasKernel: HasKernel): Graph {
  if (precision.compute === 'float32' && precision.cache === 'float32') return graph;
  const copy = new GraphCopy(graph);
  const { b } = copy;
  for (const node of graph.nodes) {
    const half = halfType(node);
    const foreign = half !== undefined && node.op !== 'Cast' && !hasKernel(node, half);
    b.scope(node.scope, () => {
      // Casts are made for each reader: a shared one would hold an fp32 copy of a weight until the backward pass.
      const inputs = node.inputs.map((input) => {
        if (input === null) return null;
        const value = copy.of(input);
        return foreign && value.dtype === half ? b.op('Cast', [value], { to: 'float32' }) : value;
      });
      const results = b.apply(node.op, inputs, node.attributes as never, { name: node.op, keep: node.keep });
      node.outputs.forEach((output, i) => {
        const result = results[i]!;
        copy.put(
          output,
          result.dtype === output.dtype ? result : b.op('Cast', [result], { to: output.dtype }),
        );
      });
    });
  }
  return copy.finish();
}

/** The 16-bit type among a node's inputs and outputs. */
function halfType(node: Node): 'float16' | 'bfloat16' | undefined {
  const types: DType[] = [...node.inputs, ...node.outputs].flatMap((value) => (value ? [value.dtype] : []));
  const half = types.find((type) => isFloat(type) && type !== 'float32');
  return half as 'float16' | 'bfloat16' | undefined;
}
