// Compiles a forward pass that tells how much each adapted module adds: ‖Δ(x)‖² of every token, Δ being what an additive
// adapter puts on top of the base. Dropout is off; the adapter acts, so that later modules see what earlier ones change.
import type { AdapterPlan } from '../adapters/plan';
import { invariant } from '../errors';
import { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { finish } from '../graph/passes/finish';
import type { Precision } from '../graph/precision';
import type { Model } from '../models/architecture';
import { TrainingAttention } from '../models/attention';
import { ForwardPass, type PackedWeights } from './forward';
import { type Slab, slabViews } from './slabs';

export interface ResponseGraphOptions {
  model: Model;
  plan: AdapterPlan;
  slabs: readonly Slab[];
  rows: number;
  length: number;
  packing: boolean;
  /** Default: fp32. */
  precision?: Precision;
  /** Base weights in four bits. Default: none. */
  packed?: PackedWeights;
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
  const tokens = o.rows * o.length;
  const ids = b.input('ids', 'int64', [o.rows, o.length]);
  const positions = b.input('positions', 'int64', [o.rows, o.length]);
  const segments = o.packing ? b.input('segments', 'int64', [o.rows, o.length]) : undefined;
  const attention = new TrainingAttention(b, o.rows, o.length, segments);
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
  const f = new ForwardPass(
    b,
    o.model,
    o.rows,
    o.length,
    positions,
    (forward, call) => attention.apply(forward, call),
    { plan, trained: slabViews(b, o.slabs), training: false },
    o.packed,
  );
  const hidden = o.model.forward(f, b.reshape(ids, [tokens]));
  if (plan.sites.has(o.model.head.path)) f.linear(o.model.head.path, hidden);
  const outputs = [...sizes].map(([path, value], i) => ({ name: `response.${i}`, value, path }));
  const finished = b.finish(outputs.map(({ name, value }) => ({ name, value })));
  const graph = finish(finished, o.precision, f.storedInputs);
  const used = new Set(graph.inputs.map(({ name }) => name));
  return {
    graph,
    baseInputs: f.baseInputs.filter((name) => used.has(name)),
    paths: new Map(outputs.map(({ name, path }) => [name, path])),
  };
}
