// Compiles a forward pass of the base model whose results are what goes into some of its modules: for initialisations that
// look at the data. Modules that are given the same value share one result.
import type { AdapterPlan } from '../adapters/plan';
import type { AdapterSettings } from '../adapters/settings';
import type { Site, Variant } from '../adapters/variant';
import { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { finish } from '../graph/passes/finish';
import type { Precision } from '../graph/precision';
import type { Model } from '../models/architecture';
import { TrainingAttention } from '../models/attention';
import { ForwardPass, type PackedWeights } from './forward';

export interface ObservationGraphOptions {
  model: Model;
  /** The modules, all linear. */
  sites: readonly Site[];
  rows: number;
  length: number;
  packing: boolean;
  /** Default: fp32. */
  precision?: Precision;
  /** Base weights in four bits. Default: none. */
  packed?: PackedWeights;
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
  const tokens = o.rows * o.length;
  const ids = b.input('ids', 'int64', [o.rows, o.length]);
  const positions = b.input('positions', 'int64', [o.rows, o.length]);
  const segments = o.packing ? b.input('segments', 'int64', [o.rows, o.length]) : undefined;
  const attention = new TrainingAttention(b, o.rows, o.length, segments);
  const seen = new Map<Value, string[]>();
  const plan: AdapterPlan = {
    variant: observer((site, x) => seen.set(x, [...(seen.get(x) ?? []), site.path])),
    settings: noSettings,
    sites: new Map(o.sites.map((site) => [site.path, site])),
    tensors: [],
    replaced: new Map(),
    unmatched: [],
    modules: [],
  };
  const f = new ForwardPass(
    b,
    o.model,
    o.rows,
    o.length,
    positions,
    (forward, call) => attention.apply(forward, call),
    { plan, trained: new Map(), training: false },
    o.packed,
  );
  const hidden = o.model.forward(f, b.reshape(ids, [tokens]));
  if (plan.sites.has(o.model.head.path)) f.linear(o.model.head.path, hidden);
  const outputs = [...seen].map(([value, paths], i) => ({ name: `input.${i}`, value, paths }));
  const built = b.finish(outputs.map(({ name, value }) => ({ name, value })));
  const graph = finish(built, o.precision, f.storedInputs);
  const used = new Set(graph.inputs.map(({ name }) => name));
  return {
    graph,
    baseInputs: f.baseInputs.filter((name) => used.has(name)),
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

/** An observer has no settings; a plan carries some all the same. */
const noSettings: AdapterSettings = {
  adapter: 'observer',
  init_lora_weights: true,
  r: 0,
  lora_alpha: 0,
  lora_dropout: 0,
  use_rslora: false,
  bias: 'none',
  target_modules: [],
  exclude_modules: null,
  rank_pattern: {},
  alpha_pattern: {},
  layers_to_transform: null,
  layers_pattern: null,
  modules_to_save: [],
  settings: {},
};
