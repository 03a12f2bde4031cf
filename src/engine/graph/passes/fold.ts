// Folds a narrow product into the wide one that it is added to: x·Wᵀ + a·l·Mᵀ becomes [x l]·[W a·M]ᵀ, an adapter beside its base
// weight, and δ·W + λ·A on the way back [δ λ]·[W; A]. Instead of the narrow product's result and the sum, which are as large as the
// wide result, the factors are copied, and the sum is taken in the product, before it is rounded. Comes after joining and before
// precision; knows no models and no methods.
import type { GraphBuilder } from '../builder';
import type { Graph, Node, Value } from '../graph';
import { sameShape } from '../shape';
import { GraphCopy } from './copy';
import type { JoinRule } from './join';

/** Inner size of a product that is folded: ranks. */
const narrow = 256;

/** CUDA copies tables to the device before it joins unequal parts: what they take, in kernels. */
const tables = 2;

interface Fold {
  wide: Node;
  thin: Node;
}

/** An equal program. @param rule whether a fold is made; none without. */
export function foldProducts(graph: Graph, rule: JoinRule | undefined): Graph {
  const folds = rule ? findFolds(graph, rule) : new Map<Node, Fold>();
  if (folds.size === 0) return graph;
  const copy = new GraphCopy(graph);
  const { b } = copy;
  const map = (value: Value): Value => copy.of(value);
  const gone = new Set([...folds.values()].flatMap(({ wide, thin }) => [wide, thin]));
  for (const node of graph.nodes) {
    if (gone.has(node)) continue;
    const fold = folds.get(node);
    const results = b.scope(node.scope, () =>
      fold
        ? [written(b, fold, map)]
        : b.apply(
            node.op,
            node.inputs.map((input) => input && map(input)),
            node.attributes as never,
            { name: node.op, keep: node.keep },
          ),
    );
    node.outputs.forEach((output, i) => {
      copy.put(output, results[i]!);
    });
  }
  return copy.finish();
}

/** The sums that are folded, by their node. */
function findFolds(graph: Graph, rule: JoinRule): Map<Node, Fold> {
  const readers = new Map<Value, number>();
  for (const { inputs } of graph.nodes)
    for (const input of inputs) if (input) readers.set(input, (readers.get(input) ?? 0) + 1);
  const results = new Set(graph.outputs.map(({ value }) => value));
  const folds = new Map<Node, Fold>();
  for (const node of graph.nodes) {
    if (node.op !== 'Add') continue;
    const [first, second] = node.inputs.map((input) => {
      const { producer } = input!;
      const alone = readers.get(input!) === 1 && !results.has(input!);
      return producer?.op === 'Gemm' && alone && producer.attributes.transA === 0 ? producer : undefined;
    });
    if (!first || !second || !sameShape(first.outputs[0]!.shape, second.outputs[0]!.shape)) continue;
    const [thin, wide] = inner(first) < inner(second) ? [first, second] : [second, first];
    const fits =
      inner(thin) <= narrow &&
      inner(wide) > narrow &&
      !thin.inputs[2] &&
      alphaOf(wide) === 1 &&
      thin.attributes.transB === wide.attributes.transB &&
      // What is made anew for every reader stays a factor of its own.
      !wide.inputs[1]!.producer;
    if (!fits) continue;
    const [rows, columns] = node.outputs[0]!.shape as [number, number];
    const length = inner(thin) + inner(wide);
    // Written and read by the sum, against both factors copied.
    const moved = 2 * length * (rows + columns) - 4 * rows * columns;
    const kernels = alphaOf(thin) === 1 ? 0 : 1;
    if (rule(-kernels - 2 * tables, moved)) folds.set(node, { wide, thin });
  }
  return folds;
}

function written(b: GraphBuilder, { wide, thin }: Fold, map: (value: Value) => Value): Value {
  const none: Record<string, never> = {};
  const axis = wide.attributes.transB === 1 ? 1 : 0;
  const stored = (value: Value): Value => b.op('Stored', [map(value)], none);
  const factor = b.scale(stored(thin.inputs[1]!), alphaOf(thin));
  const left = b.concat([stored(wide.inputs[0]!), stored(thin.inputs[0]!)], 1);
  const right = b.concat([stored(wide.inputs[1]!), factor], axis);
  const c = wide.inputs[2] ? map(wide.inputs[2]) : undefined;
  return b.gemm(left, right, { transB: axis === 1, ...(c ? { c } : {}) });
}

/** The length that a product sums over. */
function inner({ inputs }: Node): number {
  return inputs[0]!.shape[1]!;
}

function alphaOf({ attributes }: Node): number {
  return (attributes.alpha as { float: number }).float;
}
