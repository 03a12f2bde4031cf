// What every adapter method promises, held against the whole path: start, gradients, frozen tensors, LoRA form, files, and the
// count of trained parameters. The methods come from the registry; none is named here, and no promise has a file of its own.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loraExport } from '../../src/engine/adapters/adapterFiles';
import { type LoadedAdapter, loadAdapter } from '../../src/engine/adapters/loaded';
import { writeAdapterFolder } from '../../src/engine/adapters/peftWriting';
import { type AdapterPlan, planAdapter } from '../../src/engine/adapters/plan';
import { variants } from '../../src/engine/adapters/registry';
import type { AdapterSettings } from '../../src/engine/adapters/settings';
import { hasLoraForm, type Variant } from '../../src/engine/adapters/variant';
import { merge } from '../../src/engine/api/merge';
import { catalogue } from '../../src/engine/catalogue';
import { type Checkpoint, openCheckpoint } from '../../src/engine/checkpoint/folder';
import type { Batch } from '../../src/engine/data';
import { elements } from '../../src/engine/dtype';
import { forecast } from '../../src/engine/estimate/forecast';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { Evaluator, uploadParameters } from '../../src/engine/execution/evaluator';
import { Stepper } from '../../src/engine/generate/stepper';
import { inspectAdapter } from '../../src/engine/inspect/adapter';
import { type Model, modelTensors } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import { Random } from '../../src/engine/random';
import { parseRecipe } from '../../src/engine/recipe/parse';
import { validateRecipe } from '../../src/engine/recipe/validate';
import type { Runtime } from '../../src/engine/session';
import { writeResult } from '../../src/engine/train/output';
import { Trainer } from '../../src/engine/train/trainer';
import type { SettingValue } from '../../src/protocol/settings';
import { caseNames, goldenCase, largestDifference, logitsOf } from './adapterGoldens';
import { cachedTolerance, contractDevice, contractRuntime } from './contractRuntime';
import { adapterSettings, randomBatch, randomEarlier, randomValues } from './randomAdapter';
import { plainTrainer } from './trainerSettings';

interface Scenario {
  name: string;
  base: string;
  settings: Partial<AdapterSettings>;
  /** Own settings of the method that are not as by default. */
  own?: Readonly<Record<string, SettingValue>>;
  /** After two earlier tasks, for methods that take them in. */
  later?: true;
}

const models = join('test', 'goldens', 'models');
const scenarios: readonly Scenario[] = [
  {
    name: 'in ≠ out, r = 1',
    base: 'llama-gqa-tied',
    settings: { target_modules: ['k_proj', 'down_proj'], r: 1 },
  },
  { name: 'every linear layer', base: 'qwen2', settings: { target_modules: 'all-linear', r: 4 } },
  { name: 'Conv1D', base: 'gpt2', settings: { target_modules: ['c_attn', 'mlp.c_proj'], r: 3 } },
  {
    name: 'head and embedding',
    base: 'llama-plain',
    settings: { target_modules: ['embed_tokens', 'lm_head'], r: 3 },
  },
  {
    name: 'tied embedding',
    base: 'llama-gqa-tied',
    settings: { target_modules: ['embed_tokens', 'q_proj'], r: 2 },
  },
];

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'workbench-variants-'));
});
after(() => rm(scratch, { recursive: true, force: true }));

/** Every other value of a method's own choices, one at a time, on modules that have biases. */
function choices(variant: Variant): Scenario[] {
  const [base] = scenarios.filter(({ name }) => name === 'Conv1D');
  return variant.entry.fields.flatMap((field) => {
    const values =
      field.type === 'boolean'
        ? [true, false]
        : field.type === 'enum'
          ? field.choices.map(({ id }) => id)
          : field.type === 'integer' && (field.maximum ?? 99) <= 8
            ? Array.from({ length: field.maximum! }, (_, i) => i + 1)
            : [];
    return values
      .filter((value) => value !== field.default)
      .filter((value) => !variant.entry.check?.({ settings: { [field.key]: value } } as never).length)
      .map((value) => ({
        ...base!,
        name: `${base!.name}, ${field.key}: ${value}`,
        own: { [field.key]: value },
      }));
  });
}

/** A method of task sequences is tried on a later task too, where ranks and modules of the tasks differ. */
function laterTasks(variant: Variant): Scenario[] {
  if (!variant.earlier) return [];
  return [...scenarios, ...choices(variant)].map((scenario) => ({
    ...scenario,
    name: `${scenario.name}, a later task`,
    later: true,
  }));
}

/** The plan of a scenario. */
function planned(model: Model, settings: AdapterSettings, { later }: Scenario): AdapterPlan {
  const plan = planAdapter(model, settings);
  return later ? planAdapter(model, settings, randomEarlier(plan, 0.2)) : plan;
}

for (const variant of variants) {
  for (const scenario of [...scenarios, ...choices(variant), ...laterTasks(variant)]) {
    const title = `${variant.id}, ${scenario.name}`;
    test(`${title}: start, gradients, frozen tensors`, () => trains(variant, scenario));
    test(`${title}: files and LoRA form`, () => saves(variant, scenario));
    test(`${title}: the forecast counts what trains`, () => counts(variant, scenario));
  }
}

async function settingsOf(variant: Variant, { base, settings, own: given }: Scenario) {
  const checkpoint = await openCheckpoint(join(models, base));
  const model = modelFromConfig(checkpoint.config);
  const usual = Object.fromEntries(variant.entry.fields.map((field) => [field.key, field.default ?? null]));
  const own = { ...usual, ...given };
  const whole = adapterSettings(model, { adapter: variant.id, ...settings, settings: own });
  const targets = planTargets(model, whole);
  const adaptsAll = targets.every((module) => variant.adapts(module as never));
  return { checkpoint, model, settings: whole, adaptsAll };
}

/** The modules that the scenario's targets name. */
function planTargets(model: Model, { target_modules: targets }: AdapterSettings) {
  return model.modules.filter(
    (module) =>
      Array.isArray(targets) &&
      targets.some((target) => module.path.endsWith(`.${target}`) || module.path === target),
  );
}

/** A method that adapts some kinds of modules only is tried on those; one that adapts none trains the whole model. */
const applies = (variant: Variant, adaptsAll: boolean, model: Model): boolean =>
  adaptsAll || !model.modules.some((module) => variant.adapts(module as never));

async function trains(variant: Variant, scenario: Scenario): Promise<void> {
  const { checkpoint, model, settings, adaptsAll } = await settingsOf(variant, scenario);
  if (!applies(variant, adaptsAll, model)) return;
  const runtime = contractRuntime();
  try {
    const weights = BaseWeights.of(runtime, checkpoint, model);
    const plan = planned(model, settings, scenario);
    const trainer = await Trainer.create({
      runtime,
      model,
      weights,
      plan,
      largestBatchTokens: 64,
      settings: { ...plainTrainer, weight_decay: 0.1, settings: settings.settings },
    });
    const batch = randomBatch(model);
    // What computes its module anew instead of adding to it starts there up to rounding.
    const tolerance = variant.traits.additive ? 1e-6 : 1e-5;
    if (variant.traits.startsAtBase && !scenario.later)
      await startsAtBase(runtime, model, weights, trainer, plan, batch, tolerance);

    // Away from the start, where one factor is zero and hides the other's gradient.
    const values = plan.sites.size > 0 ? randomValues(plan, 0.2) : trainer.state.readAll();
    trainer.state.writeAll(values);
    await gradientsAreSlopes(trainer, plan, values, batch);

    for (let step = 1; step <= 3; step++) {
      await trainer.accumulate(batch, batch.trainedTokens, false, step);
      await trainer.update(step, 1e-2);
    }
    for (const { name, frozen } of plan.tensors) {
      const now = trainer.state.read(name);
      if (frozen) assert.deepEqual(now, values.get(name), `${name} is frozen`);
      else assert.notDeepEqual(now, values.get(name), `${name} moves`);
    }
    await frozenStay(runtime, model, weights, new Set(plan.replaced.keys()));
    trainer.release();
    weights.release();
  } finally {
    await runtime.close();
  }
}

async function startsAtBase(
  runtime: Runtime,
  model: Model,
  weights: BaseWeights,
  trainer: Trainer,
  plan: ReturnType<typeof planAdapter>,
  batch: Batch,
  tolerance: number,
): Promise<void> {
  const base = new Evaluator({ runtime, model, weights });
  const parameters = { plan, slabs: trainer.state.slabs, bindings: trainer.state.parameterBindings() };
  const adapted = new Evaluator({ runtime, model, weights, parameters });
  const [expected, ours] = [await base.logits(batch), await adapted.logits(batch)];
  const worst = ours.reduce((most, logit, i) => Math.max(most, Math.abs(logit - expected[i]!)), 0);
  assert.ok(worst <= tolerance, `the start differs from the base model by ${worst}`);
  base.release();
  adapted.release();
}

/** Every tensor's gradient along a random direction against fourth-order central differences of the loss. */
async function gradientsAreSlopes(
  trainer: Trainer,
  plan: AdapterPlan,
  values: ReadonlyMap<string, Float32Array>,
  batch: Batch,
): Promise<void> {
  const { detached } = plan.variant.traits;
  const learned = plan.tensors
    .filter(({ name, frozen }) => !frozen && !detached?.test(name))
    .map((tensor) => tensor.name);
  const lossAt = async (): Promise<number> => {
    const { loss, extra } = await trainer.accumulate(batch, batch.trainedTokens, false, 1);
    return loss + extra;
  };
  await lossAt();
  const gradients = new Map(learned.map((name) => [name, trainer.state.read(name, 'gradient')]));
  const random = new Random(9, 'directions');
  for (const name of learned) {
    const centre = values.get(name)!;
    const gradient = gradients.get(name)!;
    const norm = Math.hypot(...gradient);
    // Half along the gradient, so that the slope stands out; half anywhere, so that no direction is left out.
    const noise = Float64Array.from(gradient, () => random.normal());
    const noiseNorm = Math.hypot(...noise);
    const direction = noise.map(
      (x, i) => 0.7 * (x / noiseNorm) + (norm > 0 ? (0.7 * gradient[i]!) / norm : 0),
    );
    const slope = gradient.reduce((sum, g, i) => sum + g * direction[i]!, 0);
    const at = async (offset: number): Promise<number> => {
      const moved = centre.map((x, i) => x + offset * direction[i]!);
      trainer.state.writeAll(new Map(values).set(name, moved));
      return lossAt();
    };
    let difference = Number.NaN;
    // A kink, as gates of ReLU have it, that lies within the longer step is passed by with the shorter ones.
    for (const h of [0.01, 0.001, 0.0003]) {
      difference =
        (8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h);
      if (near(difference, slope)) break;
    }
    trainer.state.writeAll(values);
    assert.ok(
      near(difference, slope),
      `${name}: slope ${slope} by the gradient, ${difference} by differences`,
    );
  }
}

const near = (difference: number, slope: number): boolean =>
  Math.abs(difference - slope) <= 2e-2 * Math.abs(slope) + 3e-4;

async function frozenStay(
  runtime: Runtime,
  model: Model,
  weights: BaseWeights,
  replaced: ReadonlySet<string>,
): Promise<void> {
  for (const { name } of modelTensors(model)) {
    if (replaced.has(name)) continue;
    const now = runtime.read(await weights.tensor(name)) as Float32Array;
    assert.deepEqual(now, await weights.values(name), `${name} is frozen`);
  }
}

async function saves(variant: Variant, scenario: Scenario): Promise<void> {
  const { checkpoint, model, settings, adaptsAll } = await settingsOf(variant, scenario);
  if (!adaptsAll) return;
  const plan = planned(model, settings, scenario);
  if (plan.sites.size === 0) return;
  const values = randomValues(plan, 0.1);
  const name = `${variant.id} ${scenario.name}`.replace(/\W+/g, '-');
  const folder = join(scratch, name);
  await writeResult(folder, { plan, values, baseFolder: checkpoint.folder }, []);
  const inspected = await inspectAdapter(folder);
  assert.deepEqual([inspected.kind, inspected.problems], ['adapter', []]);
  const loaded = await loadAdapter(folder, model);
  assert.deepEqual(
    new Map([...loaded.values].sort()),
    new Map([...values].sort()),
    'tensors are bit-equal after save and load',
  );
  assert.deepEqual(
    [...loaded.plan.sites.values()].map(({ path, r, alpha }) => ({ path, r, alpha })),
    [...plan.sites.values()].map(({ path, r, alpha }) => ({ path, r, alpha })),
  );

  if (hasLoraForm(variant, settings)) await exportsAndSwaps(loaded, model, checkpoint, `${folder}-lora`);
  if (!hasLoraForm(variant, settings) && !variant.mergedWeight) return;
  const host = {
    emit: () => {},
    stopRequested: false,
    cancelRequested: false,
    takeCheckpointRequest: () => false,
  };
  const merged = await merge(
    {
      model: checkpoint.folder,
      adapter: folder,
      out: join(scratch, `${name}-merged`),
      device: contractDevice,
      threads: 1,
    },
    host,
  );
  assert.ok(merged.maxLogitDifference < 1e-5, `merged differs from unmerged by ${merged.maxLogitDifference}`);
  assert.ok(merged.maxLogitDifference > 0, 'the comparison is one of two different programs');
}

/** The same logits in the method's own graph, through slots, and as the plain LoRA that PEFT reads. */
async function exportsAndSwaps(
  loaded: LoadedAdapter,
  model: Model,
  checkpoint: Checkpoint,
  folder: string,
): Promise<void> {
  await writeAdapterFolder(folder, loraExport(loaded.plan, loaded.values, checkpoint.folder));
  const exported = await loadAdapter(folder, model);
  assert.equal(exported.plan.settings.adapter, 'lora');
  const runtime = contractRuntime();
  const weights = BaseWeights.of(runtime, checkpoint, model);
  const stepper = new Stepper({ runtime, model, weights });
  const batch = randomBatch(model);
  const own = async (adapter: LoadedAdapter): Promise<Float32Array> => {
    const parameters = uploadParameters(runtime, adapter.plan, adapter.values);
    const evaluator = new Evaluator({ runtime, model, weights, parameters });
    const logits = (await evaluator.logits(batch)).slice();
    evaluator.release();
    parameters.release();
    return logits;
  };
  try {
    const native = await own(loaded);
    assertClose(await own(exported), native, 'exported as LoRA');
    const prompt = [...batch.ids.subarray(0, batch.length)];
    const last = (row: Float32Array): Float32Array =>
      row.subarray((batch.length - 1) * model.vocabularySize, batch.length * model.vocabularySize);
    const before = (await stepper.begin([prompt], 8, 64)).logits.slice();
    await stepper.setAdapters([loaded]);
    assertClose(
      (await stepper.begin([prompt], 8, 64)).logits,
      last(native),
      'in slots',
      cachedTolerance(1e-5),
    );
    assert.equal(await stepper.setAdapters([]), false, 'swapping builds nothing');
    assert.deepEqual((await stepper.begin([prompt], 8, 64)).logits, before, 'the base is back');
  } finally {
    stepper.release();
    weights.release();
    await runtime.close();
  }
}

function assertClose(found: Float32Array, expected: Float32Array, what: string, tolerance = 1e-5): void {
  assert.equal(found.length, expected.length);
  const worst = found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  assert.ok(worst <= tolerance, `${what}: logits differ by ${worst}`);
}

async function counts(variant: Variant, scenario: Scenario): Promise<void> {
  const { model, settings, adaptsAll, checkpoint } = await settingsOf(variant, scenario);
  if (!applies(variant, adaptsAll, model)) return;
  const given = {
    model: checkpoint.folder,
    dataset: 'x.jsonl',
    max_length: 8,
    per_device_train_batch_size: 1,
  };
  const source = parseRecipe(Buffer.from(JSON.stringify(given)), 'counts.lora.json', scratch);
  const { recipe } = validateRecipe(source, catalogue);
  const plan = planned(model, settings, scenario);
  const exact = plan.tensors.reduce((sum, { shape, frozen }) => sum + (frozen ? 0 : elements(shape)), 0);
  assert.equal(
    forecast(model, { ...recipe, ...settings }, ...(scenario.later ? [plan] : [])).trainableParameters,
    exact,
  );
}

for (const name of caseNames) {
  test(`${name}: PEFT's logits`, async () => {
    const golden = await goldenCase(name);
    const runtime = contractRuntime();
    try {
      const ours = await logitsOf(runtime, golden.base, golden, golden.adapter);
      const worst = largestDifference(golden, ours, golden.logits);
      assert.ok(worst < 1e-5, `differs from PEFT by ${worst}`);
    } finally {
      await runtime.close();
    }
  });
}
