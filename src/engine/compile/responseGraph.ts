// Compiles a forward pass that tells how much each adapted module adds: ‖Δ(x)‖² of every token, Δ being what an additive
// adapter puts on top of the base. Dropout is off; the adapter acts, so that later modules see what earlier ones change.
import type { AdapterPlan } from '../adapters/plan';
import { invariant } from '../errors';
import { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { finish } from '../graph/passes/finish';
import { type BatchGraphOptions, batchForward, batchInputs, inputsOf } from './batchForward';
import { type Slab, slabViews } from './slabs';

export interface ResponseGraphOptions extends BatchGraphOptions {
  plan: AdapterPlan;
  slabs: readonly Slab[];
}

/** Inputs as in evaluationGraph without targets. Outputs [rows·length], one for each module: `paths`. */
export function responseGraph(o: ResponseGraphOptions): {
  graph: Graph;
  baseInputs: readonly string[];
  /** Output's name → module path. */
  paths: ReadonlyMap<string, string>;
} {
  const { variant } = o.plan;
  invariant(variant.traits.additive, `${variant.id} adds to the base`);
  const b = new GraphBuilder(`response ${o.rows}x${o.length}`);
  const sizes = new Map<string, Value>();
  const plan: AdapterPlan = {
    ...o.plan,
    variant: {
      ...variant,
      apply(c, x, settings) {
        const base = c.base(x);
        const zero = b.fill(base.shape, 0);
        const added = variant.apply({ ...c, base: () => zero }, x, settings);
        sizes.set(c.site.path, b.op('ReduceSumSquare', [added], { axes: [1], keepdims: 0 }));
        return b.add(base, added);
      },
    },
  };
  const inputs = batchInputs(b, o);
  const adapters = { plan, trained: slabViews(b, o.slabs, o.precision?.device), training: false };
  const { forward, hidden } = batchForward(b, o, inputs, adapters);
  if (plan.sites.has(o.model.head.path)) forward.linear(o.model.head.path, hidden);
  const outputs = [...sizes].map(([path, value], i) => ({ name: `response.${i}`, value, path }));
  const finished = b.finish(outputs.map(({ name, value }) => ({ name, value })));
  const graph = finish(finished, o.precision, forward.storedInputs);
  return {
    graph,
    baseInputs: inputsOf(graph, forward.baseInputs),
    paths: new Map(outputs.map(({ name, path }) => [name, path])),
  };
}
