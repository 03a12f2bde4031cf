// Places in a generation graph that any adapter with a LoRA form can be written into: two factors per adapted module, and
// whole tensors that stand in for base parameters. What comes in are adapters; it knows no runtime.
import type { LoadedAdapter } from '../adapters/loaded';
import { type AdapterPlan, tensorsOfSite } from '../adapters/plan';
import { bareSettings } from '../adapters/settings';
import { hasLoraForm, type LoraForm, type Site, type Variant } from '../adapters/variant';
import { AdapterError, invariant, raiseProblems } from '../errors';
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
  /** How many adapters each row weighs for itself; 0 where all rows have the same sum. */
  choices: number;
}

export const noSlots: SlotLayout = { sites: new Map(), replaced: new Map(), choices: 0 };

/** What a module's slot takes. */
export interface SlotForm extends LoraForm {
  site: Site;
  /** Where rows choose: the adapter that each rank belongs to, and every adapter's bias. */
  owners?: readonly number[];
  biases?: readonly (Float32Array | undefined)[];
}

/** The values for slots: several adapters together, their factors side by side. */
export interface SlotValues {
  /** By module path: ΔW = b·a. */
  forms: ReadonlyMap<string, SlotForm>;
  /** By base parameter. */
  replaced: ReadonlyMap<string, { shape: readonly number[]; data: Float32Array }>;
  choices: number;
}

/** The graph input [rows, choices] by which every row weighs the adapters. */
export const rowWeights = 'slot_weights';

/** Whether an adapter can be put into slots at all. */
export function hasForm(adapter: LoadedAdapter): boolean {
  return adapter.plan.sites.size === 0 || hasLoraForm(adapter.plan.variant, adapter.plan.settings);
}

/** Whether rows of one batch can have it or not: all that it does lies in factors. */
export function servesRows(adapter: LoadedAdapter): boolean {
  return hasForm(adapter) && adapter.plan.replaced.size === 0;
}

/** The adapters for rows that weigh them one by one; all of them `servesRows`. */
export function rowSlotValues(adapters: readonly LoadedAdapter[]): SlotValues {
  const forms = new Map<string, SlotForm>();
  for (const [k, { plan, values }] of adapters.entries()) {
    for (const site of plan.sites.values()) {
      const { bias, ...form } = formOf(plan, values, site);
      const before = forms.get(site.path);
      const owners = [...(before?.owners ?? []), ...Array<number>(form.rank).fill(k)];
      const biases = adapters.map((_, i) => (i === k ? bias : before?.biases?.[i]));
      forms.set(site.path, { site, owners, biases, ...(before ? joined(before, form, site) : form) });
    }
  }
  return { forms, replaced: new Map(), choices: adapters.length };
}

/**
 * The sum of adapters as slot values, each update times its weight. Throws one AdapterError with every adapter that cannot
 * be added, and where two of them replace the same parameter.
 */
export function slotValues(
  adapters: readonly LoadedAdapter[],
  weights: readonly number[] = adapters.map(() => 1),
): SlotValues {
  refuseFormless(adapters);
  const forms = new Map<string, SlotForm>();
  const replaced = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  const owners = new Map<string, string>();
  for (const [k, { plan, values, folder }] of adapters.entries()) {
    if (weights[k] === 0) continue;
    for (const site of plan.sites.values()) {
      const form = scaled(formOf(plan, values, site), weights[k]!);
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
  return { forms, replaced, choices: 0 };
}

/** The sum of adapters as one adapter, for graphs that take a plan and its tensors; errors as `slotValues`. */
export function summedAdapter(adapters: readonly LoadedAdapter[], weights: readonly number[]): LoadedAdapter {
  const slots = slotValues(adapters, weights);
  const layout = grown(noSlots, slots);
  const { plan } = slotPlan(layout);
  const group = { learningRateScale: 1, decay: false };
  const values = new Map<string, Float32Array>();
  for (const [path, slot] of layout.sites)
    for (const [name, data] of factorData(slot, slots.forms.get(path))) values.set(name, data);
  for (const [parameter, { data }] of slots.replaced) values.set(replacedInput(parameter), data);
  const shapes = [
    ...factorShapes(layout),
    ...[...layout.replaced].map(([parameter, shape]) => [replacedInput(parameter), shape] as const),
  ];
  const tensors = shapes.map(([name, shape]) => ({ name, shape, group, initial: () => values.get(name)! }));
  return {
    plan: { ...plan, tensors },
    values,
    folder: adapters.map(({ folder }) => folder).join(' + '),
    warnings: adapters.flatMap(({ warnings }) => warnings),
  };
}

/** Names every adapter that can act alone and at its own strength only. */
function refuseFormless(adapters: readonly LoadedAdapter[]): void {
  raiseProblems(
    AdapterError,
    'adapters-conflict',
    'These adapters cannot be added to others or weighted:',
    adapters.flatMap((adapter) => {
      if (hasForm(adapter)) return [];
      const { variant } = adapter.plan;
      const message = `is a ${variant.id} adapter with no LoRA form: ${variant.traits.linearInInput ? 'its update depends on the base weights' : 'what it adds is no fixed product with its input'}`;
      return [{ where: adapter.folder, message }];
    }),
    'Give such an adapter alone and without a weight, or merge it into its base where that is possible.',
  );
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
  // Rows that choose and rows that do not are other graphs.
  const kept = layout.choices > 0 === values.choices > 0 ? layout : noSlots;
  const choices = Math.max(kept.choices, values.choices);
  const sites = new Map(kept.sites);
  const replaced = new Map(kept.replaced);
  let changed = kept !== layout || choices !== kept.choices;
  for (const [path, { site, rank, bias, biases }] of values.forms) {
    const slot = sites.get(path);
    const biased = bias !== undefined || biases?.some((own) => own !== undefined) === true;
    if (slot && slot.rank >= rank && (slot.bias || !biased)) continue;
    changed = true;
    sites.set(path, { site, rank: Math.max(rank, slot?.rank ?? 0), bias: biased || slot?.bias === true });
  }
  for (const [parameter, { shape }] of values.replaced) {
    if (replaced.has(parameter)) continue;
    changed = true;
    replaced.set(parameter, shape);
  }
  return changed ? { sites, replaced, choices } : layout;
}

/** Inputs of the graph that hold the factors: name → device shape. An embedding's A lies as [rows, r]. */
export function factorShapes(layout: SlotLayout): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  for (const [path, { site, rank, bias }] of layout.sites) {
    const { inFeatures, outFeatures } = site;
    shapes.set(`${path}.slot_a`, isEmbedding(site) ? [inFeatures, rank] : [rank, inFeatures]);
    shapes.set(`${path}.slot_b`, [outFeatures, rank]);
    const { choices } = layout;
    if (bias) shapes.set(`${path}.slot_bias`, choices > 0 ? [choices, outFeatures] : [outFeatures]);
    if (choices > 0) shapes.set(`${path}.slot_owner`, [choices, rank]);
  }
  return shapes;
}

/** The input that holds a replaceable parameter; the checkpoint's tensor is bound there when no adapter replaces it. */
export const replacedInput = (parameter: string): string => `slot:${parameter}`;

/** A module's factors at the slot's rank, padded with zeros, in the device's layout, by input name. */
export function factorData(
  slot: SlotSite,
  form: SlotForm | undefined,
  choices = 0,
): Map<string, Float32Array> {
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
  if (choices === 0) {
    if (bias) data.set(`${path}.slot_bias`, form?.bias ?? new Float32Array(outFeatures));
    return data;
  }
  const owner = new Float32Array(choices * rank);
  form?.owners?.forEach((adapter, k) => {
    owner[adapter * rank + k] = 1;
  });
  data.set(`${path}.slot_owner`, owner);
  if (bias) {
    const biases = new Float32Array(choices * outFeatures);
    form?.biases?.forEach((own, adapter) => {
      if (own) biases.set(own, adapter * outFeatures);
    });
    data.set(`${path}.slot_bias`, biases);
  }
  return data;
}

/** The slots as an adapter plan and the inputs that its tensors become. */
export function slotPlan(layout: SlotLayout): {
  plan: AdapterPlan;
  trained: (b: GraphBuilder, rows: number) => ReadonlyMap<string, Value>;
} {
  const plan: AdapterPlan = {
    variant: slotVariant(layout),
    settings: bareSettings('slots'),
    sites: new Map([...layout.sites].map(([path, { site }]) => [path, site])),
    tensors: [],
    replaced: new Map([...layout.replaced.keys()].map((name) => [name, replacedInput(name)])),
    unmatched: [],
    modules: [],
  };
  const trained = (b: GraphBuilder, rows: number): ReadonlyMap<string, Value> => {
    const shapes = factorShapes(layout);
    if (layout.choices > 0) shapes.set(rowWeights, [rows, layout.choices]);
    for (const [parameter, shape] of layout.replaced) shapes.set(replacedInput(parameter), shape);
    return new Map([...shapes].map(([name, shape]) => [name, b.input(name, 'float32', shape)]));
  };
  return { plan, trained };
}

/**
 * y = base(x) + (x·Aᵀ)·Bᵀ + bias with scaling in B, the form that every additive method can be brought to. Where rows
 * choose, w [rows, K] are their weights and P [K, r] tells whose each rank is: base(x) + ((x·Aᵀ) ∘ w·P)·Bᵀ + w·bias, so that
 * an adapter of weight 0 adds exact zeros.
 */
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
      if (layout.choices === 0)
        return b.add(base, b.gemm(low, c.parameter('slot_b'), { transB: true, c: bias }));
      const weights = c.parameter(rowWeights);
      const [tokens, rank] = low.shape as [number, number];
      const rows = weights.shape[0]!;
      const each = (value: Value, width: number): Value => b.reshape(value, [rows, 1, width]);
      const perRow = (value: Value, width: number): Value => b.reshape(value, [rows, tokens / rows, width]);
      const chosen = b.mul(perRow(low, rank), each(b.gemm(weights, c.parameter('slot_owner')), rank));
      const update = b.gemm(b.reshape(chosen, [tokens, rank]), c.parameter('slot_b'), { transB: true });
      const y = b.add(base, update);
      if (!bias) return y;
      const { outFeatures } = site;
      const added = b.add(perRow(y, outFeatures), each(b.gemm(weights, bias), outFeatures));
      return b.reshape(added, [tokens, outFeatures]);
    },
  };
}

const isEmbedding = (site: Site): boolean => site.module.kind === 'embedding';
