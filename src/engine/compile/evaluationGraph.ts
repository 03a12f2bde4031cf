// Compiles forward passes for measuring: the weighted loss of a batch, or its logits.
import type { AdapterPlan } from '../adapters/plan';
import { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { finish } from '../graph/passes/finish';
import { type Joining, joinProducts } from '../graph/passes/join';
import { type BatchGraphOptions, batchForward, batchInputs, inputsOf } from './batchForward';
import { forwardLoss, lossRows } from './loss';
import { type Slab, slabViews } from './slabs';

export interface EvaluationGraphOptions extends BatchGraphOptions {
  plan?: AdapterPlan;
  slabs: readonly Slab[];
  /** Products that are joined. Default: none. */
  joining?: Joining | undefined;
  /** `loss`: Σ weights·−log p over `targets`; `logits`: [N, V]; `observed`: what the adapter's method hands out, [N, k] each. */
  result: 'loss' | 'logits' | 'observed';
}

export interface EvaluationProgram {
  graph: Graph;
  baseInputs: readonly string[];
  /** Of `observed`: output → `<module path>.<name>`. */
  observed: ReadonlyMap<string, string>;
}

/** Inputs as in gradientGraph, without gradients and dropout; outputs `loss`, `logits`, or `observed.0` and so on. */
export function evaluationGraph(o: EvaluationGraphOptions): EvaluationProgram {
  const b = new GraphBuilder(`evaluation ${o.rows}x${o.length}`);
  const inputs = batchInputs(b, o);
  const observed: { name: string; value: Value }[] = [];
  const adapters = o.plan
    ? { plan: o.plan, trained: slabViews(b, o.slabs, o.precision?.device), training: false, observed }
    : undefined;
  const { forward, hidden } = batchForward(b, o, inputs, adapters);
  const head = (x: typeof hidden) => forward.linear(o.model.head.path, x);
  const results = (): { name: string; value: Value }[] => {
    if (o.result === 'logits') return [{ name: o.result, value: head(hidden) }];
    if (o.result === 'observed') {
      if (o.plan?.sites.has(o.model.head.path)) head(hidden);
      return observed.map(({ value }, i) => ({ name: `observed.${i}`, value }));
    }
    const targets = b.input('targets', 'int64', [inputs.tokens]);
    const weights = b.input('weights', 'float32', [inputs.tokens]);
    const chunk = lossRows(o.precision?.device, o.model.vocabularySize, inputs.tokens);
    return [{ name: o.result, value: forwardLoss(b, { hidden, targets, weights, head, chunk }) }];
  };
  const joined = joinProducts(b.finish(results()), o.joining);
  const graph = finish(joined.graph, o.precision, [...forward.storedInputs, ...joined.inputs]);
  return {
    graph,
    baseInputs: inputsOf(graph, [...forward.baseInputs, ...joined.inputs]),
    observed: new Map(
      o.result === 'observed' ? observed.map(({ name }, i) => [`observed.${i}`, name] as const) : [],
    ),
  };
}
