// The first phase of a run whose method plans anew after it: some steps on a part of the data, then a look at how much every
// module adds, then another plan (`Variant.preparation`). Its steps come before all others and count as steps of the run, so
// that checkpoints, pauses and resumption are those of any step. What was found out lies in preparation.json beside every
// later checkpoint and the adapter.
import { join } from 'node:path';
import type { Recipe } from '../../protocol/recipe';
import type { ModuleChoice } from '../../protocol/run';
import type { SettingValue } from '../../protocol/settings';
import { preparationName } from '../adapters/adapterNames';
import type { AdapterPlan } from '../adapters/plan';
import type { AdapterSettings } from '../adapters/settings';
import type { Preparation as Phase } from '../adapters/variant';
import { responseGraph } from '../compile/responseGraph';
import type { Batch, BatchOptions, Example } from '../data';
import { RunError, SessionError } from '../errors';
import type { BaseWeights } from '../execution/baseWeights';
import type { Parameters } from '../execution/evaluator';
import { feedBatch } from '../execution/feedBatch';
import { loadBase, Program } from '../execution/program';
import { ShapeCache } from '../execution/shapeCache';
import { namesIn } from '../files/folder';
import { isJsonObject, readJsonObject } from '../files/json';
import type { Model } from '../models/architecture';
import { Random } from '../random';
import { checkShape } from '../recipe/shapes';
import type { Runtime } from '../session';
import { Calendar } from './calendar';

/** Strata of the data by length. */
const strata = 8;

type PlanFor = (settings: AdapterSettings) => AdapterPlan;

/** What the run goes on with. */
export interface Concluded {
  plan: AdapterPlan;
  /** Start values in place of the plan's own, by tensor name. */
  values: ReadonlyMap<string, Float32Array>;
  message: string;
  modules: readonly ModuleChoice[];
}

export class Preparation {
  readonly steps: number;
  readonly calendar: Calendar;

  private constructor(
    private readonly phase: Phase,
    private readonly plan: AdapterPlan,
    examples: readonly Example[],
    options: BatchOptions,
    recipe: Recipe,
    steps: number,
  ) {
    this.steps = steps;
    this.calendar = new Calendar(examples, options, { ...recipe, max_steps: steps });
  }

  /** Undefined for a method, or settings, with nothing to find out. */
  static of(
    recipe: Recipe,
    plan: AdapterPlan,
    examples: readonly Example[],
    options: BatchOptions,
  ): Preparation | undefined {
    const { preparation } = plan.variant;
    const phase = plan.sites.size > 0 ? preparation?.phase(plan.settings) : undefined;
    if (!preparation || !phase) return undefined;
    const part = stratified(examples, phase.sampleRatio, recipe.data_seed);
    return new Preparation(preparation, plan, part, options, recipe, phase.steps);
  }

  /** The warm adapter's answer: how much each module adds, and what the method makes of it. */
  async conclude(o: {
    runtime: Runtime;
    model: Model;
    weights: BaseWeights;
    parameters: Parameters;
    packing: boolean;
    values: ReadonlyMap<string, Float32Array>;
    planFor: PlanFor;
    cancelled(): boolean;
  }): Promise<Concluded> {
    const { plan } = this;
    const sites = [...plan.sites.values()];
    const found = this.phase.conclude(sites, plan.settings, await this.#responses(o));
    return {
      plan: this.#planned(o.planFor, found.settings, found.modules),
      values: new Map([...found.carried].map(([name, old]) => [name, o.values.get(old)!])),
      message: found.message,
      modules: found.modules,
    };
  }

  /** The plan of a checkpoint that was written after this phase; undefined for one from within it. */
  async restored(folder: string, planFor: PlanFor): Promise<AdapterPlan | undefined> {
    if (!(await namesIn(folder, RunError, 'checkpoint-folder')).includes(preparationName)) return undefined;
    const remedy = 'Resume from an older checkpoint of the run, or start a new run.';
    const json = await readJsonObject(join(folder, preparationName), {
      ErrorClass: RunError,
      prefix: 'checkpoint-preparation',
      remedy,
    });
    const settings = isJsonObject(json.settings) ? json.settings : {};
    const fields = new Map(this.plan.variant.entry.fields.map((field) => [field.key, field]));
    const bad = Object.entries(settings).filter(
      ([key, value]) => !fields.has(key) || checkShape(value, fields.get(key)!).length > 0,
    );
    if (json.version !== 1 || Object.keys(settings).length === 0 || bad.length > 0) {
      throw new RunError({
        code: 'checkpoint-preparation-invalid',
        message: `${join(folder, preparationName)} is no result of ${this.plan.variant.id}${bad.length > 0 ? `: ${bad.map(([key]) => key).join(', ')}` : ''}.`,
        remedy,
      });
    }
    return this.#planned(
      planFor,
      settings as Record<string, SettingValue>,
      Array.isArray(json.modules) ? json.modules : [],
    );
  }

  #planned(
    planFor: PlanFor,
    found: Readonly<Record<string, SettingValue>>,
    modules: readonly unknown[],
  ): AdapterPlan {
    const { settings, sideFiles, variant } = this.plan;
    const content = { version: 1, adapter: variant.id, settings: found, modules };
    return {
      ...planFor({ ...settings, settings: { ...settings.settings, ...found } }),
      sideFiles: { ...sideFiles, [preparationName]: `${JSON.stringify(content, null, 2)}\n` },
    };
  }

  /** Mean over the tokens of the part, padding left out, of ‖Δ(x)‖², by module path. */
  async #responses(o: Measured): Promise<Map<string, number>> {
    const programs = new ShapeCache<{ program: Program; paths: ReadonlyMap<string, string> }>(({ program }) =>
      program.release(),
    );
    const sums = new Map<string, number>();
    let tokens = 0;
    try {
      for (const batch of this.calendar.plan(0).from(0)) {
        if (o.cancelled()) throw cancelled();
        const { program, paths } = await programs.get(`${batch.rows}x${batch.length}`, () =>
          this.#open(o, batch),
        );
        feedBatch(program, batch, 1);
        await program.run();
        for (const [name, path] of paths) {
          const sizes = program.read(name) as Float32Array;
          let sum = sums.get(path) ?? 0;
          batch.segments.forEach((segment, i) => {
            if (segment > 0) sum += sizes[i]!;
          });
          sums.set(path, sum);
        }
        tokens += batch.segments.reduce((count, segment) => count + (segment > 0 ? 1 : 0), 0);
      }
    } finally {
      programs.clear();
    }
    return new Map([...sums].map(([path, sum]) => [path, sum / Math.max(1, tokens)]));
  }

  async #open({ runtime, model, weights, parameters, packing }: Measured, { rows, length }: Batch) {
    const { plan, slabs, bindings } = parameters;
    const { graph, baseInputs, paths } = responseGraph({
      model,
      plan,
      slabs,
      rows,
      length,
      packing,
      precision: weights.precision,
      packed: weights.packed,
    });
    const shared = new Map([...bindings, ...(await loadBase(baseInputs, weights))]);
    return { program: await Program.open(runtime, graph, shared), paths };
  }
}

interface Measured {
  runtime: Runtime;
  model: Model;
  weights: BaseWeights;
  parameters: Parameters;
  packing: boolean;
  cancelled(): boolean;
}

/** A part of the examples with every length in proportion, in their order; at least one. The same for the same seed. */
export function stratified(examples: readonly Example[], ratio: number, seed: number): readonly Example[] {
  if (ratio >= 1) return examples;
  const byLength = examples
    .map((_, i) => i)
    .sort((a, b) => examples[a]!.ids.length - examples[b]!.ids.length || a - b);
  const random = new Random(seed, 'preparation');
  const count = Math.max(1, Math.round(ratio * examples.length));
  const layers = Math.min(strata, count);
  const chosen: number[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const bound = (n: number, of: number): number => Math.floor((n * of) / layers);
    const members = Uint32Array.from(
      byLength.slice(bound(layer, examples.length), bound(layer + 1, examples.length)),
    );
    random.shuffle(members);
    chosen.push(...members.subarray(0, bound(layer + 1, count) - bound(layer, count)));
  }
  return chosen.sort((a, b) => a - b).map((i) => examples[i]!);
}

/** What a person should know before it; undefined where a plan has nothing to find out. */
export function preparationNote({ variant, settings }: AdapterPlan): string | undefined {
  const phase = variant.preparation?.phase(settings);
  return (
    phase &&
    `The first ${phase.steps} steps choose between modules, on ${100 * phase.sampleRatio} % of the data; until then the number of parameters and the forecast are upper bounds.`
  );
}

/** What the model card tells of it. */
export function preparationFacts(plan: AdapterPlan): [string, string][] {
  const content = plan.sideFiles?.[preparationName];
  if (content === undefined) return [];
  const { modules } = JSON.parse(content) as { modules: readonly ModuleChoice[] };
  const kept = modules.filter((module) => module.kept).length;
  return [['Modules that were kept', `${kept} of ${modules.length} (${preparationName})`]];
}

function cancelled(): SessionError {
  return new SessionError({
    code: 'run-cancelled',
    message: 'The run was cancelled while modules were chosen.',
    remedy: 'Start it again.',
  });
}
