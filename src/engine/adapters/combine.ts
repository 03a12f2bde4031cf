// Several adapters as one LoRA, by the types of PEFT's add_weighted_adapter. Comes in: adapters that fit one model, weights.
// Goes out: a plan and values with alpha = r, so that s = 1. Only `cat` is exact for more than one adapter.
import { AdapterError, invariant } from '../errors';
import { type Matrix, matrix, scaleColumns } from '../linalg/matrix';
import type { Products } from '../linalg/products';
import { exactSvd } from '../linalg/svd';
import type { Model } from '../models/architecture';
import { Random } from '../random';
import type { LoadedAdapter } from './loaded';
import { type AdapterPlan, planAdapter, tensorsOfSite } from './plan';
import { hasLoraForm, type Site } from './variant';

export const combinationTypes = [
  'cat',
  'linear',
  'svd',
  'ties',
  'ties_svd',
  'dare_linear',
  'dare_linear_svd',
  'dare_ties',
  'dare_ties_svd',
  'magnitude_prune',
  'magnitude_prune_svd',
] as const;
export type CombinationType = (typeof combinationTypes)[number];

export interface CombineOptions {
  type: CombinationType;
  /** One per adapter; negative ones subtract. */
  weights: readonly number[];
  /** Rank of the result, for the svd types; by default the largest of the adapters'. */
  rank?: number;
  /** Share of the entries that pruning keeps, in (0, 1]. */
  density: number;
  /** Which sign wins where adapters disagree (ties): that of the larger sum, or of more adapters. */
  majoritySign: 'total' | 'frequency';
  /** Decides what dare drops. */
  seed: number;
  /** Applies alpha/r twice in the svd types, as PEFT up to 0.20 does. */
  scaledTwice?: boolean;
  /** What dare keeps, in place of the draw: 1 or 0 per entry. */
  keep?: (adapter: number, path: string, part: 'A' | 'B' | 'delta', count: number) => ArrayLike<number>;
}

/** One module of one adapter: ΔW = scaling·b·a. */
interface Pair {
  adapter: number;
  weight: number;
  scaling: number;
  /** [r, in] */
  a: Matrix;
  /** [out, r] */
  b: Matrix;
}

/** @throws AdapterError that names the adapters and what stands between them. */
export async function combineAdapters(
  products: Products,
  model: Model,
  adapters: readonly LoadedAdapter[],
  options: CombineOptions,
): Promise<{ plan: AdapterPlan; values: Map<string, Float32Array> }> {
  invariant(adapters.length > 0 && options.weights.length === adapters.length, 'every adapter has a weight');
  refuseUnfit(adapters);
  const sites = new Map(adapters.flatMap(({ plan }) => [...plan.sites]));
  const pairs = new Map(
    [...sites].map(([path, site]) => [path, pairsOf(adapters, path, site, options.weights)] as const),
  );
  // PEFT combines one adapter by scaling its factors, whatever the type.
  const type = adapters.length === 1 ? 'linear' : options.type;
  if (type !== 'cat' && !type.endsWith('svd')) refuseRanks(pairs, adapters, type);
  const results = new Map<string, { a: Matrix; b: Matrix }>();
  for (const [path, own] of pairs)
    results.set(path, await combined(products, path, own, { ...options, type }));
  return asLora(model, sites, results);
}

function refuseUnfit(adapters: readonly LoadedAdapter[]): void {
  for (const { plan, folder } of adapters) {
    const whole = [...plan.replaced.keys()];
    const reason = !hasLoraForm(plan.variant, plan.settings)
      ? `is a ${plan.variant.id} adapter, which has no form as LoRA`
      : whole.length > 0
        ? `holds a whole ${whole[0]} (modules_to_save or bias), which cannot be combined`
        : plan.settings.settings.lora_bias === true
          ? 'has biases of its own (lora_bias), which cannot be combined'
          : undefined;
    if (reason === undefined) continue;
    throw new AdapterError({
      code: 'adapters-not-combinable',
      message: `${folder} ${reason}.`,
      remedy: 'Leave this adapter out, or merge it into its base first.',
    });
  }
}

function refuseRanks(
  pairs: ReadonlyMap<string, Pair[]>,
  adapters: readonly LoadedAdapter[],
  type: string,
): void {
  for (const [path, own] of pairs) {
    if (new Set(own.map(({ a }) => a.rows)).size <= 1) continue;
    throw new AdapterError({
      code: 'adapters-not-combinable',
      message: `${type} needs equal ranks, and at ${path} ${own.map(({ adapter, a }) => `${adapters[adapter]!.folder} has rank ${a.rows}`).join(', ')}.`,
      remedy: `Use cat, which adds adapters of any rank exactly, or ${type === 'linear' ? 'svd' : `${type}_svd`}.`,
    });
  }
}

function pairsOf(
  adapters: readonly LoadedAdapter[],
  path: string,
  { inFeatures, outFeatures }: Site,
  weights: readonly number[],
): Pair[] {
  return adapters.flatMap(({ plan, values }, adapter) => {
    const site = plan.sites.get(path);
    if (!site) return [];
    const form = plan.variant.loraForm!(site, tensorsOfSite(values, site), plan.settings);
    return [
      {
        adapter,
        weight: weights[adapter]!,
        scaling: form.stored && form.rank > 0 ? form.stored.alpha / form.rank : 1,
        a: matrix(form.rank, inFeatures, form.a),
        b: matrix(outFeatures, form.rank, form.stored?.b ?? form.b),
      },
    ];
  });
}

async function combined(
  products: Products,
  path: string,
  pairs: readonly Pair[],
  o: CombineOptions,
): Promise<{ a: Matrix; b: Matrix }> {
  if (o.type === 'cat') return joined(pairs);
  const task = o.type.replace(/_?svd$/, '');
  if (!o.type.endsWith('svd')) {
    // The sign goes to one side, or it would cancel.
    const rooted = pairs.map(({ weight, scaling }) => weight * scaling);
    const part = (side: 'a' | 'b', factors: number[]): Matrix => {
      const name = side === 'a' ? 'A' : 'B';
      const parts = pairs.map((pair) => pair[side].data);
      const data = arithmetic(task, parts, factors, pruner(task, o, path, name, pairs), o.majoritySign);
      return { ...pairs[0]![side], data };
    };
    return {
      a: part(
        'a',
        rooted.map((x) => Math.sign(x) * Math.sqrt(Math.abs(x))),
      ),
      b: part(
        'b',
        rooted.map((x) => Math.sqrt(Math.abs(x))),
      ),
    };
  }
  const deltas: Float32Array[] = [];
  for (const { a, b, scaling } of pairs) {
    const delta = await products.multiply(b, a);
    for (let i = 0; i < delta.data.length; i++) delta.data[i]! *= scaling;
    deltas.push(delta.data);
  }
  const factors = pairs.map(({ weight, scaling }) => (o.scaledTwice ? weight * scaling : weight));
  const [rows, columns] = [pairs[0]!.b.rows, pairs[0]!.a.columns];
  const sum = arithmetic(task, deltas, factors, pruner(task, o, path, 'delta', pairs), o.majoritySign);
  const rank = Math.min(o.rank ?? Math.max(...pairs.map(({ a }) => a.rows)), rows, columns);
  const svd = await exactSvd(products, matrix(rows, columns, sum), rank, 'top', o.seed);
  return { a: svd.vt, b: scaleColumns(svd.u, svd.sigma) };
}

/** A' = [w_i·s_i·A_i] stacked, B' = [B_i] side by side: the exact sum. */
function joined(pairs: readonly Pair[]): { a: Matrix; b: Matrix } {
  const rank = pairs.reduce((sum, { a }) => sum + a.rows, 0);
  const [rows, columns] = [pairs[0]!.b.rows, pairs[0]!.a.columns];
  const a = matrix(rank, columns);
  const b = matrix(rows, rank);
  let at = 0;
  for (const pair of pairs) {
    const factor = pair.weight * pair.scaling;
    a.data.set(
      pair.a.data.map((value) => factor * value),
      at * columns,
    );
    for (let i = 0; i < rows; i++)
      b.data.set(pair.b.data.subarray(i * pair.a.rows, (i + 1) * pair.a.rows), i * rank + at);
    at += pair.a.rows;
  }
  return { a, b };
}

/** Drops entries of one adapter's tensor. */
type Prune = (values: Float32Array, index: number) => Float32Array;

function pruner(
  task: string,
  o: CombineOptions,
  path: string,
  part: 'A' | 'B' | 'delta',
  pairs: readonly Pair[],
): Prune {
  if (task === '' || task === 'linear' || o.density >= 1) return (values) => values;
  if (!task.startsWith('dare')) return (values) => largest(values, o.density);
  return (values, index) => {
    const { adapter } = pairs[index]!;
    const random = new Random(o.seed, 'dare', adapter, path, part);
    const keep =
      o.keep?.(adapter, path, part, values.length) ??
      Uint8Array.from(values, () => (random.uniform() < o.density ? 1 : 0));
    return values.map((value, i) => (keep[i] ? value / o.density : 0));
  };
}

/** The floor(density·n) entries of the largest size; all others 0. Of equals the first stay. */
function largest(values: Float32Array, density: number): Float32Array {
  const count = Math.floor(density * values.length);
  if (count === 0) return new Float32Array(values.length);
  const threshold = values.map(Math.abs).sort()[values.length - count]!;
  let equals = count;
  for (const value of values) if (Math.abs(value) > threshold) equals--;
  return values.map((value) => {
    const size = Math.abs(value);
    return size > threshold || (size === threshold && equals-- > 0) ? value : 0;
  });
}

/** Σ weight·pruned; for the ties family only entries of the elected sign, averaged over those that have it. */
function arithmetic(
  task: string,
  tensors: readonly Float32Array[],
  weights: readonly number[],
  prune: Prune,
  majority: CombineOptions['majoritySign'],
): Float32Array {
  const pruned = tensors.map(prune);
  const elects = task === 'ties' || task === 'dare_ties';
  return Float32Array.from(pruned[0]!, (_, i) => {
    if (!elects) return pruned.reduce((sum, tensor, k) => sum + weights[k]! * tensor[i]!, 0);
    const vote = pruned.reduce(
      (sum, tensor) => sum + (majority === 'total' ? tensor[i]! : Math.sign(tensor[i]!)),
      0,
    );
    const sign = vote >= 0 ? 1 : -1;
    const agreeing = pruned.flatMap((tensor, k) =>
      Math.sign(tensor[i]!) === sign ? [weights[k]! * tensor[i]!] : [],
    );
    return agreeing.reduce((sum, value) => sum + value, 0) / Math.max(1, agreeing.length);
  });
}

/** The combined factors as a LoRA with alpha = r for every module. */
export function asLora(
  model: Model,
  sites: ReadonlyMap<string, Site>,
  results: ReadonlyMap<string, { a: Matrix; b: Matrix }>,
): { plan: AdapterPlan; values: Map<string, Float32Array> } {
  const ranks = [...results].map(([path, { a }]) => [path, a.rows] as const);
  const usual = Math.max(...ranks.map(([, rank]) => rank));
  const others = Object.fromEntries(ranks.filter(([, rank]) => rank !== usual));
  const plan = planAdapter(model, {
    adapter: 'lora',
    init_lora_weights: true,
    r: usual,
    lora_alpha: usual,
    lora_dropout: 0,
    use_rslora: false,
    bias: 'none',
    target_modules: [...results.keys()],
    exclude_modules: null,
    rank_pattern: others,
    alpha_pattern: others,
    layers_to_transform: null,
    layers_pattern: null,
    modules_to_save: [],
    settings: {},
  });
  const values = new Map<string, Float32Array>();
  for (const [path, { a, b }] of results) {
    const embedding = sites.get(path)!.module.kind === 'embedding';
    values.set(`${path}.${embedding ? 'lora_embedding_A' : 'lora_A.weight'}`, a.data);
    values.set(`${path}.${embedding ? 'lora_embedding_B' : 'lora_B.weight'}`, b.data);
  }
  return { plan, values };
}
