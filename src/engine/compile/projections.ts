// Which base weights of a model multiply the same activation: q, k and v, gate and up. Found by building the forward pass, so
// that families need not say it.
import { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { Joining, JoinRule } from '../graph/passes/join';
import type { Model } from '../models/architecture';
import { fullAttention } from '../models/attentions';
import { ForwardPass, type PackedWeights } from './forward';

/** Tensor names [out, in] that lie one behind the other where products are joined, and their biases. */
export function projectionGroups(model: Model): string[][] {
  const b = new GraphBuilder('projections');
  const ids = b.input('ids', 'int64', [1, 1]);
  const positions = b.input('positions', 'int64', [1, 1]);
  const attention = fullAttention(b, { rows: 1, length: 1 });
  const f = new ForwardPass(b, model, 1, 1, positions, (forward, call) => attention.apply(forward, call));
  model.forward(f, b.reshape(ids, [1]));
  const products = new Map<Value, { weight: Value; bias: Value | undefined }[]>();
  const uses = new Map<Value, number>();
  for (const { op, inputs, attributes } of b.nodes) {
    for (const input of inputs) if (input) uses.set(input, (uses.get(input) ?? 0) + 1);
    const [x, weight, bias] = inputs;
    if (op !== 'Gemm' || !x || !weight || weight.producer || attributes.transB !== 1) continue;
    const list = products.get(x) ?? [];
    products.set(x, list);
    list.push({ weight, bias: bias ?? undefined });
  }
  const groups: string[][] = [];
  for (const list of products.values()) {
    const own = list.filter(({ weight }) => uses.get(weight) === 1);
    if (own.length < 2) continue;
    groups.push(own.map(({ weight }) => weight.name));
    const biases = own.flatMap(({ bias }) => (bias && uses.get(bias) === 1 ? [bias.name] : []));
    if (biases.length === own.length) groups.push(biases);
  }
  return groups;
}

/** What a run joins; undefined without a rule. Weights in four bits stay apart: their block sizes do not join. */
export function joiningOf(
  model: Model,
  packed: PackedWeights,
  rule: JoinRule | undefined,
): Joining | undefined {
  if (!rule) return undefined;
  const groups = projectionGroups(model).filter((names) => !names.some((name) => packed.has(name)));
  return { groups, rule };
}
