// The start of a run whose initialisation reads the base weights: start values of A and B, and the changed base, which is put
// in place in memory. Comes in: a plan, weights, training data. Goes out: the plan (ranks may have moved) and values.
import { join } from 'node:path';
import { isFactor, joinedShape, type StartFactors, splitFactor } from '../adapters/convert';
import { distributedRanks } from '../adapters/initialisations/eva';
import { outByIn } from '../adapters/initialisations/factors';
import type { SiteStart, StartFromBase } from '../adapters/initialisations/initialisation';
import { initialisationOf } from '../adapters/initialisations/registry';
import { loraScaling } from '../adapters/lora';
import type { AdapterPlan } from '../adapters/plan';
import type { AdapterSettings } from '../adapters/settings';
import type { Site } from '../adapters/variant';
import { readSafetensors, readTensor } from '../checkpoint/safetensors';
import { AdapterError, invariant } from '../errors';
import { WeightUpdater } from '../execution/weightUpdater';
import { isJsonObject, readJsonObject } from '../files/json';
import { productsOn } from '../linalg/deviceProducts';
import { type Matrix, matrix, scaleRows } from '../linalg/matrix';
import type { Products } from '../linalg/products';
import type { PackedWeight } from '../quantization/packedWeight';
import { hashText } from '../random';
import {
  type CalibrationData,
  covariances,
  type Directions,
  passes,
  principalDirections,
} from './calibration';

export interface StartOptions extends CalibrationData {
  plan: AdapterPlan;
  /** Plans again, where ranks moved. */
  planFor(settings: AdapterSettings): AdapterPlan;
  seed: number;
}

export interface PreparedStart {
  plan: AdapterPlan;
  /** Start values in place of the plan's own, by tensor name. */
  values: ReadonlyMap<string, Float32Array>;
  /** Whether the base is W − s·B0·A0 now, so that A0 and B0 belong to what is saved. */
  residual: boolean;
  /** Full sentences. */
  notes: string[];
}

/** Works out the start and changes the base in `weights`. Does nothing for initialisations that need the seed alone. */
export async function prepareStart(o: StartOptions): Promise<PreparedStart> {
  if (o.plan.variant.start) return startOfVariant(o, o.plan.variant.start);
  const { fromBase } = initialisationOf(o.plan.settings.init_lora_weights);
  if (!fromBase || o.plan.sites.size === 0)
    return { plan: o.plan, values: new Map(), residual: false, notes: [] };
  refuseUnfit(o, fromBase);
  const products = productsOn(o.runtime);
  const base = new BaseChanger(o);
  try {
    return await new Starter(o, fromBase, products, base).go();
  } finally {
    base.release();
    products.release();
  }
}

/** The start of a method that takes frozen tensors from the base weight. */
async function startOfVariant(
  o: StartOptions,
  start: NonNullable<AdapterPlan['variant']['start']>,
): Promise<PreparedStart> {
  const { plan } = o;
  const products = productsOn(o.runtime);
  const base = new BaseChanger(o);
  const values = new Map<string, Float32Array>();
  const started = performance.now();
  try {
    for (const site of linearSites(plan)) {
      o.onProgress(`Start values of ${site.path}`);
      const own = await start({
        products,
        site,
        scaling: loraScaling(site, plan.settings),
        weight: await base.weight(site),
        seed: (o.seed ^ hashText(site.path)) >>> 0,
        settings: plan.settings,
      });
      for (const [part, data] of own) values.set(`${site.path}.${part}`, data);
    }
  } finally {
    base.release();
    products.release();
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const notes = [`${plan.variant.id} took ${seconds} s for ${linearSites(plan).length} weights.`];
  return { plan, values, residual: false, notes };
}

/**
 * The start of the run that wrote the checkpoint `folder`, bit for bit: A0 and B0 lie in it, as the second halves of the
 * converted factors; ranks in its config. A base of another kind is computed again.
 */
export async function restoreStart(o: StartOptions, folder: string): Promise<PreparedStart> {
  // A method's own tensors lie in the checkpoint, whole.
  if (o.plan.variant.start) return { plan: o.plan, values: new Map(), residual: false, notes: [] };
  const { fromBase } = initialisationOf(o.plan.settings.init_lora_weights);
  if (fromBase?.base === 'kept') {
    return { plan: await planOfCheckpoint(o, folder), values: new Map(), residual: false, notes: [] };
  }
  if (fromBase?.base !== 'residual') return prepareStart(o);
  refuseUnfit(o, fromBase);
  const { tensors } = await readSafetensors(join(folder, 'adapter_model.safetensors'));
  const values = new Map<string, Float32Array>();
  for (const { name, shape } of o.plan.tensors) {
    const ref = tensors.get(`base_model.model.${name}`);
    // What is missing or misshapen is reported when the parameters are read.
    if (!isFactor(name) || !ref || ref.shape.join() !== joinedShape(name, shape).join()) continue;
    values.set(name, splitFactor(name, shape, await readTensor(ref)).start);
  }
  const base = new BaseChanger(o);
  try {
    for (const site of linearSites(o.plan)) {
      const [a, b] = factorNames(site).map((name) => values.get(name));
      if (a && b) await base.subtract(site, { a, b }, loraScaling(site, o.plan.settings));
    }
  } finally {
    base.release();
  }
  return { plan: o.plan, values, residual: true, notes: [] };
}

/** EVA's ranks, as the checkpoint's config has them. */
async function planOfCheckpoint(o: StartOptions, folder: string): Promise<AdapterPlan> {
  const config = await readJsonObject(join(folder, 'adapter_config.json'), {
    ErrorClass: AdapterError,
    prefix: 'adapter-config',
    remedy: 'Resume from an older checkpoint of the run, or start a new run.',
  });
  const numbers = (value: unknown): Record<string, number> =>
    isJsonObject(value) ? (value as Record<string, number>) : {};
  return o.planFor({
    ...o.plan.settings,
    target_modules: config.target_modules as AdapterSettings['target_modules'],
    exclude_modules: null,
    layers_to_transform: null,
    layers_pattern: null,
    rank_pattern: numbers(config.rank_pattern),
    alpha_pattern: numbers(config.alpha_pattern),
  });
}

const linearSites = (plan: AdapterPlan): Site[] =>
  [...plan.sites.values()].filter(({ module }) => module.kind !== 'embedding');

const factorNames = ({ path }: Site): [string, string] => [`${path}.lora_A.weight`, `${path}.lora_B.weight`];

/** Refuses modules whose weight another one shares, and methods without A and B. */
function refuseUnfit({ plan, model }: StartOptions, { base }: StartFromBase): void {
  const { init_lora_weights: init, adapter } = plan.settings;
  const names = new Set(plan.tensors.map(({ name }) => name));
  const without = linearSites(plan).filter((site) => factorNames(site).some((name) => !names.has(name)));
  if (without.length > 0) {
    throw new AdapterError({
      code: 'initialisation-not-supported',
      message: `init_lora_weights: ${init} gives start values to LoRA's matrices, which ${adapter} does not train.`,
      remedy: 'Set adapter: lora, or remove init_lora_weights.',
    });
  }
  if (base === 'kept') return;
  const users = new Map<string, string[]>();
  for (const module of model.modules)
    if ('weight' in module) users.set(module.weight, [...(users.get(module.weight) ?? []), module.path]);
  const shared = linearSites(plan).filter(({ module }) => users.get(module.weight)!.length > 1);
  if (shared.length === 0) return;
  throw new AdapterError({
    code: 'initialisation-not-supported',
    message: `init_lora_weights: ${init} changes the base weight, and ${shared.map(({ path, module }) => `${path} shares its weight with ${users.get(module.weight)!.filter((user) => user !== path)[0]}`).join(', ')}.`,
    remedy: `Take ${shared.map(({ path }) => path).join(', ')} out of target_modules.`,
  });
}

/** Puts changed weights in the base's place, one module at a time. */
class BaseChanger {
  readonly #updater: WeightUpdater;

  constructor(private readonly o: Pick<StartOptions, 'runtime' | 'weights'>) {
    this.#updater = new WeightUpdater(o.runtime);
  }

  /** The module's weight as [out, in]. */
  async weight({ module, inFeatures, outFeatures }: Site): Promise<Matrix> {
    const values = await this.o.weights.original(module.weight);
    const stored =
      module.kind === 'conv1d'
        ? matrix(inFeatures, outFeatures, values)
        : matrix(outFeatures, inFeatures, values);
    return outByIn(stored, module.kind);
  }

  /** W − s·B·A, from the checkpoint's values; the same bits for the same factors. */
  async subtract(site: Site, { a, b }: Pick<SiteStart, 'a' | 'b'>, scaling: number): Promise<void> {
    const { inFeatures, outFeatures, module } = site;
    const values = (await this.o.weights.original(module.weight)).slice();
    const form = { rank: site.r, a, b: b.map((value) => -scaling * value) };
    const transposedToo = module.kind === 'conv1d';
    await this.#updater.add(values, { form, inFeatures, outFeatures, transposed: transposedToo });
    this.o.weights.replace(module.weight, values);
  }

  put({ module }: Site, weight: PackedWeight): void {
    this.o.weights.replacePacked(module.weight, weight);
  }

  release(): void {
    this.#updater.release();
  }
}

/** Goes through the modules, in groups where the data is looked at. */
class Starter {
  readonly #values = new Map<string, Float32Array>();
  readonly #notes: string[] = [];
  #seconds = 0;
  #largestError = 0;

  constructor(
    private readonly o: StartOptions,
    private readonly method: StartFromBase,
    private readonly products: Products,
    private readonly base: BaseChanger,
  ) {}

  async go(): Promise<PreparedStart> {
    const { method, o } = this;
    let { plan } = o;
    if (method.calibration === 'components') plan = await this.#byDirections();
    else if (method.calibration === 'covariance') {
      // Everything is looked at before the first weight changes.
      const samples = Number(plan.settings.settings.calibration_samples ?? 256);
      const groups = passes(o, linearSites(plan));
      const changes: (() => Promise<void>)[] = [];
      for (const group of groups) {
        const gathered = await covariances(o, this.products, group, samples);
        for (const site of group)
          changes.push(await this.#site(site, { covariance: gathered.get(site.path)! }));
      }
      for (const change of changes) await change();
    } else for (const site of linearSites(plan)) await (await this.#site(site, {}))();
    const { init_lora_weights: init } = plan.settings;
    if (method.base !== 'kept')
      this.#notes.push(
        `${init} took ${this.#seconds.toFixed(1)} s for ${linearSites(plan).length} weights; the start leaves out up to ${(100 * this.#largestError).toFixed(1)} % of a weight's norm.`,
      );
    return {
      plan,
      values: this.#values,
      residual: method.base === 'residual',
      notes: this.#notes,
    };
  }

  /** Computes one module's start; what comes back changes its base weight. */
  async #site(site: Site, seen: { covariance?: Matrix; components?: Matrix }): Promise<() => Promise<void>> {
    const { o } = this;
    const { settings } = o.plan;
    o.onProgress(`Start values of ${site.path}`);
    const scaling = loraScaling(site, settings);
    const packed = o.weights.packed.get(site.module.weight);
    const start = await this.method.start({
      products: this.products,
      site,
      scaling,
      weight: await this.base.weight(site),
      seed: (o.seed ^ hashText(site.path)) >>> 0,
      settings,
      ...(packed ? { packed } : {}),
      ...seen,
    });
    const [a, b] = factorNames(site);
    this.#values.set(a, start.a);
    this.#values.set(b, start.b);
    this.#seconds += start.report?.seconds ?? 0;
    this.#largestError = Math.max(this.#largestError, start.report?.relativeError ?? 0);
    return async () => {
      if (this.method.base === 'residual') await this.base.subtract(site, start, scaling);
      else if (this.method.base === 'replaced') {
        invariant(start.packed, 'a start that replaces the base gives it');
        this.base.put(site, start.packed);
      }
    };
  }

  /** Directions first, then ranks, then a plan with them. */
  async #byDirections(): Promise<AdapterPlan> {
    const { o } = this;
    const { settings } = o.plan;
    const sites = linearSites(o.plan);
    const rho = Number(settings.settings.eva_rho ?? 2);
    const most = (site: Site): number => Math.min(Math.max(1, Math.round(site.r * rho)), site.inFeatures);
    const budget = sites.reduce((sum, site) => sum + site.r, 0);
    const { byPath, unsettled } = await principalDirections(
      o,
      this.products,
      sites,
      most,
      (ratios) => distributedRanks(ratios, budget),
      settings.settings,
      o.seed,
    );
    if (byPath.size < sites.length) {
      throw new AdapterError({
        code: 'calibration-data-short',
        message: `The data is too short for init_lora_weights: ${settings.init_lora_weights}: no batch has ${Math.max(...sites.map(most))} counted tokens, one for each direction.`,
        remedy: 'Raise per_device_train_batch_size or max_length, or lower r or eva_rho.',
      });
    }
    if (unsettled.length > 0)
      this.#notes.push(
        `The directions of ${unsettled.length} modules still moved at the end of the calibration.`,
      );
    const ratios = new Map(
      sites.map((site) => [site.path, byPath.get(site.path)!.ratios.slice(0, most(site))] as const),
    );
    const ranks = distributedRanks(ratios, budget);
    const plan = this.#replanned(sites, ranks);
    for (const site of linearSites(plan)) {
      const found = byPath.get(site.path)!;
      await this.#site(site, { components: directionsOf(found, settings.settings.eva_whiten === true) });
    }
    const spread = [...ranks.values()];
    this.#notes.push(
      `${settings.init_lora_weights} gave ranks from ${Math.min(...spread)} to ${Math.max(...spread)}, ${spread.filter((rank) => rank === 0).length} modules of ${spread.length} none.`,
    );
    return plan;
  }

  #replanned(sites: readonly Site[], ranks: ReadonlyMap<string, number>): AdapterPlan {
    const { plan, planFor } = this.o;
    const { settings } = plan;
    const adjusts = settings.settings.eva_adjust_scaling_factors !== false;
    const others = [...plan.sites.values()].filter(({ module }) => module.kind === 'embedding');
    const kept = sites.filter(({ path }) => ranks.get(path)! > 0);
    const entries = kept.map((site) => {
      const rank = ranks.get(site.path)!;
      return { path: site.path, rank, alpha: adjusts ? (site.alpha * rank) / site.r : site.alpha };
    });
    const whole = [...entries, ...others.map(({ path, r, alpha }) => ({ path, rank: r, alpha }))];
    return planFor({
      ...settings,
      target_modules: whole.map(({ path }) => path),
      exclude_modules: null,
      layers_to_transform: null,
      layers_pattern: null,
      rank_pattern: Object.fromEntries(
        whole.filter(({ rank }) => rank !== settings.r).map(({ path, rank }) => [path, rank]),
      ),
      alpha_pattern: Object.fromEntries(
        whole.filter(({ alpha }) => alpha !== settings.lora_alpha).map(({ path, alpha }) => [path, alpha]),
      ),
    });
  }
}

function directionsOf({ directions, singularValues }: Directions, whiten: boolean): Matrix {
  if (!whiten) return directions;
  const copy = matrix(directions.rows, directions.columns, directions.data.slice());
  return scaleRows(
    copy,
    singularValues.map((value) => 1 / Math.sqrt(value || 1)),
  );
}

/** What the converted form subtracts: the factors as they start, by name; undefined where the base stayed. */
export function startFactors(
  start: PreparedStart,
  initial: ReadonlyMap<string, Float32Array>,
): StartFactors | undefined {
  if (!start.residual) return undefined;
  return new Map([...initial].filter(([name]) => isFactor(name)));
}
