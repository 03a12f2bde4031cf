// AM-LoRA: gates, output, loss and gradients are those of the formulas (test/reference/formulas.py); one task is LoRA; earlier
// tasks stay; held gates are a `cat`.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { amLora } from '../../../src/engine/adapters/amLora';
import { combineAdapters } from '../../../src/engine/adapters/combine';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { tensorsOfSite } from '../../../src/engine/adapters/plan';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import type { Site } from '../../../src/engine/adapters/variant';
import { merge } from '../../../src/engine/api/merge';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { Products } from '../../../src/engine/linalg/products';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';
import { logitsOf } from '../../contracts/adapterGoldens';
import { TestHost, tinyWorkspace, trainTiny } from '../train/tinyRun';
import { formulas, onRuntime, runSite } from './siteGraph';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace());
});
after(() => clean());

for (const gate of ['sigmoid', 'relu'] as const) {
  test(`${gate}: gates, output, loss and gradients of the formulas`, async () => {
    const golden = await formulas('am-lora');
    const facts = JSON.parse(
      readFileSync(join('test', 'goldens', 'methods', 'formulas', 'am-lora', 'facts.json'), 'utf8'),
    ) as { scaling: number; lambda: number; regulariser: Record<string, number> };
    const [tasks, inputs, outputs, r] = [3, 7, 9, 2];
    const [a, up] = [await golden('a'), await golden('b')];
    const pair = (task: number) => ({
      A: { shape: [r, inputs], data: a.slice(task * r * inputs, (task + 1) * r * inputs) },
      B: { shape: [outputs, r], data: up.slice(task * outputs * r, (task + 1) * outputs * r) },
    });
    const earlier = Array.from({ length: tasks - 1 }, () => ({ rank: r, scaling: facts.scaling }));
    const site = {
      path: 'p',
      module: { kind: 'linear' },
      inFeatures: inputs,
      outFeatures: outputs,
      r,
      alpha: facts.scaling * r,
      earlier,
    } as unknown as Site;
    const own = { am_gate: gate, am_lambda: facts.lambda };
    const settings = { use_rslora: false, settings: own } as unknown as AdapterSettings;
    const found = await runSite(amLora, site, settings, await golden('x'), await golden('delta'), {
      'lora_A.weight': pair(2).A,
      'lora_B.weight': pair(2).B,
      'am_lora_A.1': pair(0).A,
      'am_lora_B.1': pair(0).B,
      'am_lora_A.2': pair(1).A,
      'am_lora_B.2': pair(1).B,
      am_lora_gate: { shape: [tasks, outputs], data: await golden('w') },
    });
    const kind = `neutral_${gate}`;
    const gates = await golden(`${kind}.gates`);
    const tokens = gates.length / tasks;
    // Ours lie token by token, the golden's task by task.
    const turned = Float32Array.from(gates, (_, i) => gates[(i % tasks) * tokens + Math.floor(i / tasks)]!);
    close(found.observed.get('am_lora_gate')!, turned, 1e-5);
    close(found.y, await golden(`${kind}.y`), 3e-5);
    close(Float32Array.of(found.extra), Float32Array.of(facts.regulariser[kind]!), 1e-6);
    for (const [name, part] of [
      ['x', 'grad_x'],
      ['lora_A.weight', 'grad_a_last'],
      ['lora_B.weight', 'grad_b_last'],
      ['am_lora_gate', 'grad_w'],
    ] as const)
      close(found.gradients.get(name)!, await golden(`${kind}.${part}`), 5e-5);
  });
}

const prompt = () => {
  const random = new Random(4, 'ids');
  return { ids: Int32Array.from({ length: 12 }, () => random.below(1024)), rows: 2, length: 6 };
};
const logits = (adapter: string) =>
  onRuntime((runtime) => logitsOf(runtime, join(folder, 'base'), prompt(), adapter));
const task = (name: string, settings: Record<string, unknown>) =>
  trainTiny(folder, { output_dir: `runs/${name}`, max_steps: 4, ...settings });
const loaded = async (path: string) =>
  loadAdapter(path, modelFromConfig((await openCheckpoint(join(folder, 'base'))).config));

test('one task with its gates at 1 is LoRA, whatever the gate', async () => {
  const site = {
    path: 'p',
    module: { kind: 'linear' },
    inFeatures: 7,
    outFeatures: 9,
    r: 2,
    alpha: 3,
  } as unknown as Site;
  const random = new Random(3);
  const normal = (count: number) => Float32Array.from({ length: count }, () => random.normal());
  const [x, a, up] = [normal(5 * 7), normal(14), normal(18)];
  for (const gate of ['sigmoid', 'relu']) {
    const settings = {
      use_rslora: false,
      settings: { am_gate: gate, am_lambda: 0 },
    } as unknown as AdapterSettings;
    const { y } = await runSite(amLora, site, settings, x, new Float32Array(45), {
      'lora_A.weight': { shape: [2, 7], data: a },
      'lora_B.weight': { shape: [9, 2], data: up },
      am_lora_gate: { shape: [1, 9], data: new Float32Array(9) },
    });
    const expected = Float32Array.from(y, (_, i) => {
      const [n, o] = [Math.floor(i / 9), i % 9];
      let sum = 0;
      for (let k = 0; k < 2; k++)
        for (let j = 0; j < 7; j++) sum += 1.5 * up[o * 2 + k]! * a[k * 7 + j]! * x[n * 7 + j]!;
      return sum;
    });
    close(y, expected, 1e-5);
  }
});

test('a sequence: earlier pairs stay, gates are taken along, every task is a LoRA folder, merging is refused', async () => {
  const first = await task('one', {});
  const second = await task('two', {
    adapter: 'am_lora',
    dataset: 'eval.jsonl',
    previous_adapters: ['runs/one/adapter'],
  });
  const third = await task('three', {
    adapter: 'am_lora',
    am_gate: 'relu',
    previous_adapters: ['runs/two/adapter'],
    max_steps: 1,
    learning_rate: 1e-5,
  });
  const old = await readAdapterFolder(first.adapter);
  for (const run of [second, third]) {
    const kept = await readAdapterFolder(join(run.adapter, 'task-1'));
    for (const [name, tensor] of old.tensors)
      assert.deepEqual(await kept.tensors.get(name)!.read(), await tensor.read(), name);
  }
  const [two, three] = [await loaded(second.adapter), await loaded(third.adapter)];
  const path = 'model.layers.0.self_attn.q_proj';
  assert.deepEqual(three.values.get(`${path}.am_lora_B.2`), two.values.get(`${path}.lora_B.weight`));
  const [was, is] = [two, three].map(({ values }) => values.get(`${path}.am_lora_gate`)!) as [
    Float32Array,
    Float32Array,
  ];
  assert.equal(is.length, (3 / 2) * was.length);
  const moved = Math.hypot(...was.map((w, i) => is[i]! - w)) / Math.hypot(...was);
  assert.ok(
    Math.hypot(...was) > 0.01 && moved < 0.01,
    `the gates went on from where they were: moved by ${moved}`,
  );
  await assert.rejects(
    merge(
      {
        model: join(folder, 'base'),
        adapter: third.adapter,
        out: join(folder, 'merged'),
        device: 'cpu',
        threads: 1,
      },
      new TestHost(),
    ),
    /am_lora, which has no form as one weight/,
  );
});

test('held gates are a cat with these weights, and near the gates themselves', async () => {
  await task('left', {});
  await task('right', { dataset: 'eval.jsonl', learning_rate: 8e-3 });
  const mixed = await task('mixed', {
    adapter: 'am_lora',
    previous_adapters: ['runs/left/adapter', 'runs/right/adapter'],
    max_steps: 2,
  });
  const adapter = await loaded(mixed.adapter);
  const means = Float32Array.of(0.5, 1.25, 0.75);
  const parts = await Promise.all(
    ['task-1', 'task-2', 'task-3'].map((name) => loaded(join(mixed.adapter, name))),
  );
  const model = modelFromConfig((await openCheckpoint(join(folder, 'base'))).config);
  const cat = await onRuntime(async (runtime) => {
    const products = new Products(runtime);
    const result = await combineAdapters(products, model, parts, {
      type: 'cat',
      weights: [...means],
      density: 1,
      majoritySign: 'total',
      seed: 0,
    });
    products.release();
    return result;
  });
  for (const site of adapter.plan.sites.values()) {
    const tensors = tensorsOfSite(adapter.values, site);
    const held = amLora.averaged!(site, tensors, adapter.plan.settings, means);
    const joined = cat.plan.variant.loraForm!(
      cat.plan.sites.get(site.path)!,
      tensorsOfSite(cat.values, site),
      cat.plan.settings,
    );
    const delta = ({ rank, a, b }: typeof held) =>
      Float32Array.from({ length: site.outFeatures * site.inFeatures }, (_, i) => {
        const [o, k] = [Math.floor(i / site.inFeatures), i % site.inFeatures];
        let sum = 0;
        for (let j = 0; j < rank; j++) sum += b[o * rank + j]! * a[j * site.inFeatures + k]!;
        return sum;
      });
    close(delta(held), delta(joined), 1e-6);
  }
  assert.ok((await logits(mixed.adapter)).every(Number.isFinite));
});

function close(found: Float32Array, expected: Float32Array, tolerance: number): void {
  assert.equal(found.length, expected.length);
  const worst = found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  assert.ok(worst <= tolerance, `differs by ${worst}`);
}
