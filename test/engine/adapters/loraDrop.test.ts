// LoRA-drop: which modules are kept, that shared pairs are aliases in graphs and copies in files, and what is measured.
import assert from 'node:assert/strict';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { groupOf, importance, keptOf, loraDrop } from '../../../src/engine/adapters/loraDrop';
import { type AdapterPlan, planAdapter } from '../../../src/engine/adapters/plan';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { responseGraph } from '../../../src/engine/compile/responseGraph';
import { planSlabs } from '../../../src/engine/compile/slabs';
import type { Batch } from '../../../src/engine/data';
import { elements } from '../../../src/engine/dtype';
import { AdapterError } from '../../../src/engine/errors';
import { BaseWeights } from '../../../src/engine/execution/baseWeights';
import { Evaluator, uploadParameters } from '../../../src/engine/execution/evaluator';
import { feedBatch } from '../../../src/engine/execution/feedBatch';
import { Observer } from '../../../src/engine/execution/observer';
import { loadBase, Program } from '../../../src/engine/execution/program';
import { inspectAdapter } from '../../../src/engine/inspect/adapter';
import type { Model } from '../../../src/engine/models/architecture';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';
import { openRuntime } from '../../../src/engine/session';
import { continuedValues } from '../../../src/engine/train/continuedAdapter';
import { writeResult } from '../../../src/engine/train/output';
import { Trainer } from '../../../src/engine/train/trainer';
import { adapterSettings, randomBatch, randomValues } from '../../contracts/randomAdapter';
import { plainTrainer } from '../../contracts/trainerSettings';
import { fails } from '../files/scratch';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
const folder = join('test', 'goldens', 'models', 'llama-plain');
let model: Model;
let weights: BaseWeights;
let scratch: string;
before(async () => {
  const checkpoint = await openCheckpoint(folder);
  model = modelFromConfig(checkpoint.config);
  weights = BaseWeights.of(runtime, checkpoint, model);
  scratch = await mkdtemp(join(tmpdir(), 'workbench-lora-drop-'));
});
after(async () => {
  weights.release();
  await runtime.close();
  await rm(scratch, { recursive: true, force: true });
});

const targets = ['q_proj', 'v_proj', 'down_proj'];
const planWith = (kept: readonly string[] | null): AdapterPlan =>
  planAdapter(
    model,
    adapterSettings(model, {
      adapter: 'lora_drop',
      target_modules: targets,
      r: 3,
      settings: { threshold: 0.9, sample_ratio: 0.1, warm_steps: 2, warm_start: false, kept_modules: kept },
    }),
  );
const count = ({ tensors }: AdapterPlan): number =>
  tensors.reduce((sum, { shape }) => sum + elements(shape), 0);

test('the kept modules grow with the threshold; at 1 they are all of them', () => {
  const random = new Random(3, 'shares');
  for (let trial = 0; trial < 20; trial++) {
    const shares = importance(Array.from({ length: 9 }, () => random.uniform() ** 4));
    let before = new Set<number>();
    for (const threshold of [0.05, 0.2, 0.5, 0.8, 0.9, 0.99, 1]) {
      const kept = new Set(keptOf(shares, threshold));
      for (const i of before) assert.ok(kept.has(i), `${i} is lost at ${threshold}`);
      const sum = [...kept].reduce((total, i) => total + shares[i]!, 0);
      assert.ok(sum >= threshold - 1e-9);
      // Without the least of them the threshold is not reached.
      const least = Math.min(...[...kept].map((i) => shares[i]!));
      if (threshold < 1) assert.ok(sum - least < threshold);
      before = kept;
    }
    assert.equal(before.size, 9);
  }
  assert.deepEqual(keptOf([0.5, 0.5, 0], 1), [0, 1, 2], 'what adds nothing too');
  assert.deepEqual(keptOf([0.2, 0.7, 0.1], 0.9), [0, 1]);
});

test('where nothing was learned all modules count alike', () => {
  assert.deepEqual(importance([0, 0, 0, 0]), [0.25, 0.25, 0.25, 0.25]);
  const plan = planWith(null);
  const nothing = new Map([...plan.sites.keys()].map((path) => [path, 0]));
  const { modules, settings } = loraDrop.preparation!.conclude(
    [...plan.sites.values()],
    plan.settings,
    nothing,
  );
  assert.ok(modules.every((module) => module.importance === 1 / model.layers));
  assert.equal(
    (settings.kept_modules as string[]).length,
    plan.sites.size,
    '0.9 of three alike are all three',
  );
});

test('modules are compared within their group, and the others share one pair of it', () => {
  const whole = planWith(null);
  const sites = [...whole.sites.values()];
  // Every v_proj adds little beside any q_proj; within its group one of them stands out.
  const response = new Map(
    sites.map(({ path }) => [
      path,
      (path.includes('layers.1') ? 98 : 1) * (path.includes('v_proj') ? 1e-6 : 1),
    ]),
  );
  const { settings, modules } = loraDrop.preparation!.conclude(sites, whole.settings, response);
  const kept = settings.kept_modules as string[];
  assert.deepEqual(
    kept.sort(),
    sites
      .map(({ path }) => path)
      .filter((path) => path.includes('layers.1'))
      .sort(),
  );
  for (const { path, sharedAs } of modules)
    assert.equal(sharedAs, kept.includes(path) ? null : groupOf(whole.sites.get(path)!));
  const plan = planWith(kept);
  const pair = (path: string): number =>
    3 * (whole.sites.get(path)!.inFeatures + whole.sites.get(path)!.outFeatures);
  const groups = new Map(sites.map((site) => [groupOf(site), site.path]));
  assert.equal(groups.size, 3);
  const expected = [...kept, ...groups.values()].reduce((sum, path) => sum + pair(path), 0);
  assert.equal(count(plan), expected, 'Σ of the kept and of the groups');
  assert.ok(count(whole) > expected, 'before the choice the count is an upper bound');
});

test('a shared pair’s gradient is the sum of its members’', async () => {
  const [all, none] = [planWith(null), planWith([])];
  const shared = randomValues(none, 0.2);
  const copies = new Map(
    [...all.sites.values()].flatMap((site) =>
      ['lora_A.weight', 'lora_B.weight'].map(
        (part) => [`${site.path}.${part}`, shared.get(`${groupOf(site)}.${part}`)!] as const,
      ),
    ),
  );
  const gradients = async (plan: AdapterPlan, values: ReadonlyMap<string, Float32Array>) => {
    const trainer = await openTrainer(plan);
    trainer.state.writeAll(values);
    await trainer.accumulate(batch(), batch().trainedTokens, false, 1);
    const found = trainer.state.readAll('gradient');
    trainer.release();
    return found;
  };
  const [own, together] = [await gradients(all, copies), await gradients(none, shared)];
  for (const [name, found] of together) {
    const part = name.split('.').slice(-2).join('.');
    const members = [...all.sites.values()].filter((site) => `${groupOf(site)}.${part}` === name);
    assert.equal(members.length, model.layers);
    const sum = new Float64Array(found.length);
    for (const { path } of members)
      own.get(`${path}.${part}`)!.forEach((g, i) => {
        sum[i]! += g;
      });
    const size = Math.hypot(...sum);
    assert.ok(size > 1e-4);
    for (const [i, g] of found.entries()) assert.ok(Math.abs(g - sum[i]!) <= 1e-5 * size, `${name}[${i}]`);
  }
});

test('the file holds a shared pair under every member, and computes what the aliases do', async () => {
  const kept = ['model.layers.0.self_attn.q_proj', 'model.layers.2.mlp.down_proj'];
  const plan = planWith(kept);
  const values = randomValues(plan, 0.2);
  const out = join(scratch, 'shared');
  await writeResult(out, { plan, values, baseFolder: folder }, []);
  const native = await loadAdapter(out, model);
  assert.deepEqual([...native.plan.tensors.map(({ name }) => name)].sort(), [...values.keys()].sort());
  const aliased = await logits(native.plan, native.values);

  for (const name of ['engine_state.json', 'engine_state.safetensors'])
    await rename(join(out, name), join(scratch, name));
  const plain = await loadAdapter(out, model);
  assert.equal(plain.plan.settings.adapter, 'lora');
  for (const [path, site] of plan.sites) {
    const name = kept.includes(path) ? path : groupOf(site);
    for (const part of ['lora_A.weight', 'lora_B.weight'])
      assert.deepEqual(plain.values.get(`${path}.${part}`), values.get(`${name}.${part}`), `${path}.${part}`);
  }
  const copied = await logits(plain.plan, plain.values);
  const worst = copied.reduce((most, x, i) => Math.max(most, Math.abs(x - aliased[i]!)), 0);
  assert.ok(worst < 1e-5, `logits differ by ${worst}`);

  assert.deepEqual(
    new Map([...(await continuedValues(out, model, plan))].sort()),
    new Map([...values].sort()),
    'a run that keeps the same modules goes on with shared pairs',
  );
  const more = await fails(() => continuedValues(out, model, planWith([])), {
    class: AdapterError,
    code: 'adapter-differs',
    says: ['lora there and lora_drop here'],
  });
  assert.ok(more.remedy.length > 0);
  await fails(() => continuedValues(out, model, planWith(null)), {
    class: AdapterError,
    code: 'adapter-differs',
    says: ['lora there and lora_drop here'],
  });

  const { facts, problems } = await inspectAdapter(out);
  assert.deepEqual(problems, []);
  assert.equal(facts['modules that share a pair'], 7, 'two q_proj, three v_proj, two down_proj');
});

test('what a module adds is measured as the mean of ‖s·BAx‖² over tokens', async () => {
  const plan = planWith(null);
  const [first] = plan.sites.values();
  const values = randomValues(plan, 0.2);
  const parameters = uploadParameters(runtime, plan, values);
  const one = batch();
  const compiled = responseGraph({
    model,
    plan,
    slabs: planSlabs(plan.tensors),
    rows: one.rows,
    length: one.length,
    packing: false,
  });
  const shared = new Map([...parameters.bindings, ...(await loadBase(compiled.baseInputs, weights))]);
  const program = await Program.open(runtime, compiled.graph, shared);
  feedBatch(program, one, 1);
  await program.run();
  const paths = new Map([...compiled.paths].map(([name, path]) => [path, name]));
  assert.deepEqual([...paths.keys()].sort(), [...plan.sites.keys()].sort());
  const found = program.read(paths.get(first!.path)!) as Float32Array;

  // Nothing before the first module changes its input.
  const observer = new Observer({ runtime, model, weights, packing: false });
  const [a, b] = ['A', 'B'].map((part) => values.get(`${first!.path}.lora_${part}.weight`)!) as [
    Float32Array,
    Float32Array,
  ];
  const { r, alpha, inFeatures, outFeatures } = first!;
  for await (const { x } of observer.inputs(one, [first!])) {
    for (let n = 0; n < x.rows; n++) {
      const low = Array.from({ length: r }, (_, k) => {
        let sum = 0;
        for (let i = 0; i < inFeatures; i++) sum += a[k * inFeatures + i]! * x.data[n * inFeatures + i]!;
        return sum;
      });
      let size = 0;
      for (let o = 0; o < outFeatures; o++) {
        const added = low.reduce((sum, value, k) => sum + value * b[o * r + k]!, 0) * (alpha / r);
        size += added ** 2;
      }
      assert.ok(Math.abs(found[n]! - size) <= 1e-4 * size, `token ${n}: ${found[n]}, ${size}`);
    }
  }
  observer.release();
  program.release();
  parameters.release();
});

const batch = (): Batch => randomBatch(model);

function openTrainer(plan: AdapterPlan): Promise<Trainer> {
  return Trainer.create({
    runtime,
    model,
    weights,
    plan,
    largestBatchTokens: 64,
    settings: plainTrainer,
  });
}

async function logits(plan: AdapterPlan, values: ReadonlyMap<string, Float32Array>): Promise<Float32Array> {
  const parameters = uploadParameters(runtime, plan, values);
  const evaluator = new Evaluator({ runtime, model, weights, parameters });
  const found = (await evaluator.logits(batch())).slice();
  evaluator.release();
  parameters.release();
  return found;
}
