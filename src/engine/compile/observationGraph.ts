// Compiles a forward pass of the base model whose results are what goes into some of its modules: for initialisations that
// look at the data. Modules that are given the same value share one result.
import type { AdapterPlan } from '../adapters/plan';
import { bareSettings } from '../adapters/settings';
import type { Site, Variant } from '../adapters/variant';
import { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { finish } from '../graph/passes/finish';
import { type BatchGraphOptions, batchForward, batchInputs, inputsOf } from './batchForward';

export interface ObservationGraphOptions extends BatchGraphOptions {
  /** The modules, all linear. */
  sites: readonly Site[];
}

export interface ObservationProgram {
  graph: Graph;
  baseInputs: readonly string[];
  /** Output [rows·length, in] → the paths of the modules that take it. */
  outputs: ReadonlyMap<string, readonly string[]>;
}

/** Inputs as in evaluationGraph without targets; outputs `input.0`, `input.1`, …. */
export function observationGraph(o: ObservationGraphOptions): ObservationProgram {
  const b = new GraphBuilder(`observation ${o.rows}x${o.length}`);
  const seen = new Map<Value, string[]>();
  const plan: AdapterPlan = {
    variant: observer((site, x) => seen.set(x, [...(seen.get(x) ?? []), site.path])),
    settings: bareSettings('observer'),
    sites: new Map(o.sites.map((site) => [site.path, site])),
    tensors: [],
    replaced: new Map(),
    unmatched: [],
    modules: [],
  };
  const adapters = { plan, trained: new Map(), training: false };
  const { forward, hidden } = batchForward(b, o, batchInputs(b, o), adapters);
  if (plan.sites.has(o.model.head.path)) forward.linear(o.model.head.path, hidden);
  const outputs = [...seen].map(([value, paths], i) => ({ name: `input.${i}`, value, paths }));
  const built = b.finish(outputs.map(({ name, value }) => ({ name, value })));
  const graph = finish(built, o.precision, forward.storedInputs);
  return {
    graph,
    baseInputs: inputsOf(graph, forward.baseInputs),
    outputs: new Map(outputs.map(({ name, paths }) => [name, paths])),
  };
}

/** A method that changes nothing and tells what its modules are given. */
function observer(see: (site: Site, x: Value) => void): Variant {
  return {
    id: 'observer',
    entry: { id: 'observer', label: 'Observer', summary: 'Sees the inputs of modules.', fields: [] },
    paper: '',
    traits: { startsAtBase: true, linearInInput: true, additive: true },
    adapts: () => true,
    parameters: () => [],
    apply(c, x) {
      see(c.site, x);
      return c.base(x);
    },
  };
}
