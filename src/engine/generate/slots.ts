// Places in a generation graph that any adapter with a LoRA form can be written into: two factors per adapted module, and
// whole tensors that stand in for base parameters. What comes in are adapters; it knows no runtime.
import type { LoadedAdapter } from '../adapters/loaded';
import { type AdapterPlan, tensorsOfSite } from '../adapters/plan';
import type { AdapterSettings } from '../adapters/settings';
import { hasLoraForm, type LoraForm, type Site, type Variant } from '../adapters/variant';
import { AdapterError, invariant } from '../errors';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';

export interface SlotSite {
  site: Site;
  /** Ranks up to this fit. */
  rank: number;
  /** Whether there is a place for a bias of the update. */
  bias: boolean;
}

/** What the slots of a graph can take. */
export interface SlotLayout {
  /** By module path. */
  sites: ReadonlyMap<string, SlotSite>;
  /** Base parameters that can be swapped, `<module path>.weight` or `.bias`, with their shapes. */
  replaced: ReadonlyMap<string, readonly number[]>;
}

export const noSlots: SlotLayout = { sites: new Map(), replaced: new Map() };

/** The values for slots: several adapters together, summed by joining their factors. */
export interface SlotValues {
  /** By module path: ΔW = b·a. */
  forms: ReadonlyMap<string, LoraForm & { site: Site }>;
  /** By base parameter. */
  replaced: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>;
}

/** Whether an adapter can be put into slots at all. */
export function hasForm(adapter: LoadedAdapter): boolean {
  return adapter.plan.sites.size === 0 || hasLoraForm(adapter.plan.variant, adapter.plan.settings);
}

/** The sum of adapters as slot values, each update times `strength`. Throws AdapterError where two of them replace the same parameter. */
export function slotValues(adapters: readonly LoadedAdapter[], strength = 1): SlotValues {
  const forms = new Map<string, LoraForm & { site: Site }>();
  const replaced = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const owners = new Map<string, string>();
  for (const { plan, values, folder } of adapters) {
    for (const site of plan.sites.values()) {
      const form = scaled(formOf(plan, values, site), strength);
      const before = forms.get(site.path);
      forms.set(site.path, { site, ...(before ? joined(before, form, site) : form) });
    }
    const shapes = new Map(plan.tensors.map(({ name, shape }) => [name, shape]));
    for (const [parameter, name] of plan.replaced) {
      const owner = owners.get(parameter);
      if (owner !== undefined) {
        throw new AdapterError({
          code: 'adapters-conflict',
          message: `${owner} and ${folder} both hold a whole ${parameter} (modules_to_save or bias); two of them cannot be added.`,
          remedy: 'Use one of the two adapters.',
        });
      }
      owners.set(parameter, folder);
      replaced.set(parameter, { shape: shapes.get(name)!, data: values.get(name)! });
    }
  }
  return { forms, replaced };
}

function formOf(plan: AdapterPlan, values: ReadonlyMap<string, Float32Array>, site: Site): LoraForm {
  const { variant, settings } = plan;
  invariant(variant.loraForm, `${variant.id} has a LoRA form`);
  return variant.loraForm(site, tensorsOfSite(values, site), settings);
}

function scaled(form: LoraForm, factor: number): LoraForm {
  if (factor === 1) return form;
  const times = (values: Float32Array): Float32Array => values.map((value) => factor * value);
  return { rank: form.rank, a: form.a, b: times(form.b), ...(form.bias ? { bias: times(form.bias) } : {}) };
}

/** The sum of two updates: factors side by side. */
function joined(first: LoraForm, second: LoraForm, site: Site): LoraForm {
  const rank = first.rank + second.rank;
  const a = new Float32Array(rank * site.inFeatures);
  a.set(first.a);
  a.set(second.a, first.a.length);
  const b = new Float32Array(site.outFeatures * rank);
  for (let row = 0; row < site.outFeatures; row++) {
    b.set(first.b.subarray(row * first.rank, (row + 1) * first.rank), row * rank);
    b.set(second.b.subarray(row * second.rank, (row + 1) * second.rank), row * rank + first.rank);
  }
  if (!first.bias && !second.bias) return { rank, a, b };
  const bias = Float32Array.from(
    { length: site.outFeatures },
    (_, i) => (first.bias?.[i] ?? 0) + (second.bias?.[i] ?? 0),
  );
  return { rank, a, b, bias };
}

/** The smallest layout that takes what `layout` takes and these values; `layout` itself where they fit already. */
export function grown(layout: SlotLayout, values: SlotValues): SlotLayout {
  const sites = new Map(layout.sites);
  const replaced = new Map(layout.replaced);
  let changed = false;
  for (const [path, { site, rank, bias }] of values.forms) {
    const slot = sites.get(path);
    if (slot && slot.rank >= rank && (slot.bias || !bias)) continue;
    changed = true;
    sites.set(path, {
      site,
      rank: Math.max(rank, slot?.rank ?? 0),
      bias: bias !== undefined || slot?.bias === true,
    });
  }
  for (const [parameter, { shape }] of values.replaced) {
    if (replaced.has(parameter)) continue;
    changed = true;
    replaced.set(parameter, shape);
  }
  return changed ? { sites, replaced } : layout;
}

/** Inputs of the graph that hold the factors: name → device shape. An embedding's A lies as [rows, r]. */
export function factorShapes(layout: SlotLayout): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  for (const [path, { site, rank, bias }] of layout.sites) {
    const { inFeatures, outFeatures } = site;
    shapes.set(`${path}.slot_a`, isEmbedding(site) ? [inFeatures, rank] : [rank, inFeatures]);
    shapes.set(`${path}.slot_b`, [outFeatures, rank]);
    if (bias) shapes.set(`${path}.slot_bias`, [outFeatures]);
  }
  return shapes;
}

/** The input that holds a replaceable parameter; the checkpoint's tensor is bound there when no adapter replaces it. */
export const replacedInput = (parameter: string): string => `slot:${parameter}`;

/** A module's factors at the slot's rank, padded with zeros, in the device's layout, by input name. */
export function factorData(slot: SlotSite, form: LoraForm | undefined): Map<string, Float32Array> {
  const { site, rank, bias } = slot;
  const { inFeatures, outFeatures, path } = site;
  const a = new Float32Array(rank * inFeatures);
  const b = new Float32Array(outFeatures * rank);
  if (form) {
    if (isEmbedding(site)) {
      for (let k = 0; k < form.rank; k++)
        for (let i = 0; i < inFeatures; i++) a[i * rank + k] = form.a[k * inFeatures + i]!;
    } else {
      a.set(form.a);
    }
    for (let row = 0; row < outFeatures; row++)
      b.set(form.b.subarray(row * form.rank, (row + 1) * form.rank), row * rank);
  }
  const data = new Map<string, Float32Array>([
    [`${path}.slot_a`, a],
    [`${path}.slot_b`, b],
  ]);
  if (bias) data.set(`${path}.slot_bias`, form?.bias ?? new Float32Array(outFeatures));
  return data;
}

/** The slots as an adapter plan and the inputs that its tensors become. */
export function slotPlan(layout: SlotLayout): {
  plan: AdapterPlan;
  trained: (b: GraphBuilder) => ReadonlyMap<string, Value>;
} {
  const plan: AdapterPlan = {
    variant: slotVariant(layout),
    settings: slotSettings,
    sites: new Map([...layout.sites].map(([path, { site }]) => [path, site])),
    tensors: [],
    replaced: new Map([...layout.replaced.keys()].map((name) => [name, replacedInput(name)])),
    unmatched: [],
    modules: [],
  };
  const trained = (b: GraphBuilder): ReadonlyMap<string, Value> => {
    const shapes = factorShapes(layout);
    for (const [parameter, shape] of layout.replaced) shapes.set(replacedInput(parameter), shape);
    return new Map([...shapes].map(([name, shape]) => [name, b.input(name, 'float32', shape)]));
  };
  return { plan, trained };
}

/** y = base(x) + (x·Aᵀ)·Bᵀ + bias with scaling in B, the form that every additive method can be brought to. */
function slotVariant(layout: SlotLayout): Variant {
  return {
    id: 'slots',
    entry: { id: 'slots', label: 'Slots', summary: 'Adapters of a generation graph.', fields: [] },
    paper: '',
    traits: { startsAtBase: true, linearInInput: true, additive: true },
    adapts: () => true,
    parameters: () => [],
    apply(c, x) {
      const { b, site } = c;
      const base = c.base(x);
      const a = c.parameter('slot_a');
      const low = isEmbedding(site) ? b.op('Gather', [a, x], { axis: 0 }) : b.gemm(x, a, { transB: true });
      const bias = layout.sites.get(site.path)!.bias ? c.parameter('slot_bias') : undefined;
      return b.add(base, b.gemm(low, c.parameter('slot_b'), { transB: true, c: bias }));
    },
  };
}

const isEmbedding = (site: Site): boolean => site.module.kind === 'embedding';

/** Slots have no settings of their own; a plan carries some all the same. */
const slotSettings: AdapterSettings = {
  adapter: 'slots',
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
