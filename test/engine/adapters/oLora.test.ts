// O-LoRA: the penalty of the formulas (test/reference/formulas.py), and what the paper's sequence promises: a task starts where
// the one before ended, earlier tensors stay bit for bit, without the penalty it is one LoRA after another.
import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { adapterFiles } from '../../../src/engine/adapters/adapterFiles';
import { planWithEarlier } from '../../../src/engine/adapters/earlier';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { oLora } from '../../../src/engine/adapters/oLora';
import type { LoraConfig } from '../../../src/engine/adapters/peftConfig';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { writeAdapterFolder } from '../../../src/engine/adapters/peftWriting';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import type { Site } from '../../../src/engine/adapters/variant';
import { merge } from '../../../src/engine/api/merge';
import { catalogue } from '../../../src/engine/catalogue';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';
import { loadRecipe } from '../../../src/engine/recipe/load';
import { logitsOf } from '../../contracts/adapterGoldens';
import { TestHost, tinyWorkspace, trainTiny } from '../train/tinyRun';
import { formulas, onRuntime, runSite } from './siteGraph';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace());
  for (const [name, verb] of [
    ['second', 'Double'],
    ['third', 'Halve'],
  ] as const) {
    const rows = Array.from({ length: 12 }, (_, i) => ({
      prompt: `${verb} ${i}: `,
      completion: `${name} ${i * 3} of ${verb}`,
    }));
    writeFileSync(join(folder, `${name}.jsonl`), rows.map((row) => JSON.stringify(row)).join('\n'));
  }
});
after(() => clean());

const own = { lora_alpha: 4, init_lora_weights: true, use_rslora: false };
const penaltySite = (rank: number, r: number): Site =>
  ({
    path: 'p',
    module: { kind: 'linear' },
    inFeatures: 11,
    outFeatures: 7,
    r,
    alpha: r,
    earlier: [{ rank, scaling: 1 }],
  }) as unknown as Site;

/** Penalty and gradients at one module. */
async function penalty(
  settings: Record<string, unknown>,
  previous: Float32Array,
  a: Float32Array,
  up: Float32Array,
) {
  const [rank, r] = [previous.length / 11, a.length / 11];
  return runSite(
    oLora,
    penaltySite(rank, r),
    { ...own, settings } as unknown as AdapterSettings,
    new Float32Array(11),
    new Float32Array(7),
    {
      'lora_A.weight': { shape: [r, 11], data: a },
      'lora_B.weight': { shape: [7, r], data: up },
      o_lora_previous_A: { shape: [rank, 11], data: previous },
      o_lora_previous_B: { shape: [7, rank], data: new Float32Array(7 * rank) },
    },
  );
}

test('the penalty and its gradients are those of the formulas', async () => {
  const golden = await formulas('o-lora');
  const facts = JSON.parse(
    readFileSync(join('test', 'goldens', 'methods', 'formulas', 'o-lora', 'facts.json'), 'utf8'),
  ) as { lambda1: number; lambda2: number; penalty: number };
  const [previous, a, up] = [await golden('previous_a'), await golden('a'), await golden('b')];
  const settings = { lamda_1: facts.lambda1, lamda_2: facts.lambda2 };
  const { extra, gradients } = await penalty(settings, previous, a, up);
  assert.ok(Math.abs(extra - facts.penalty) <= 1e-5 * facts.penalty, `${extra}, not ${facts.penalty}`);
  close(gradients.get('lora_A.weight')!, await golden('grad_a'), 1e-5);
  close(gradients.get('lora_B.weight')!, await golden('grad_b'), 1e-5);
  const squared = await penalty({ lamda_1: 1, lamda_2: 0, squared: true }, previous, a, up);
  close(Float32Array.of(squared.extra), await golden('squared_penalty'), 1e-3);
});

test('the penalty is zero if and only if the subspaces are orthogonal', async () => {
  const unit = (row: number): number[] => Array.from({ length: 11 }, (_, i) => (i === row ? 1 : 0));
  const previous = Float32Array.from([...unit(0), ...unit(3)]);
  const up = new Float32Array(7 * 2);
  for (const squared of [false, true]) {
    const settings = { lamda_1: 0.5, lamda_2: 0, squared };
    const beside = await penalty(settings, previous, Float32Array.from([...unit(1), ...unit(5)]), up);
    assert.equal(beside.extra, 0);
    const leaning = unit(5).map((x, i) => x + 0.01 * unit(3)[i]!);
    const other = await penalty(settings, previous, Float32Array.from([...unit(1), ...leaning]), up);
    assert.ok(other.extra > 1e-5, String(other.extra));
  }
});

const logits = (base: string, prompt: ReturnType<typeof batch>, adapter: string) =>
  onRuntime((runtime) => logitsOf(runtime, base, prompt, adapter));

const batch = (): { ids: Int32Array; rows: number; length: number } => {
  const random = new Random(4, 'ids');
  return { ids: Int32Array.from({ length: 12 }, () => random.below(1024)), rows: 2, length: 6 };
};
const task = (name: string, settings: Record<string, unknown>) =>
  trainTiny(folder, { output_dir: `runs/${name}`, max_steps: 6, threads: 1, ...settings });

test('three tasks: each starts where the one before ended, earlier tensors stay, one LoRA says the same', async () => {
  const base = join(folder, 'base');
  const first = await task('one', {});
  const second = await task('two', {
    adapter: 'o_lora',
    dataset: 'second.jsonl',
    previous_adapters: ['runs/one/adapter'],
  });
  const host = new TestHost();
  const third = await trainTiny(
    folder,
    {
      output_dir: 'runs/three',
      adapter: 'o_lora',
      dataset: 'third.jsonl',
      previous_adapters: ['runs/two/adapter'],
      r: 2,
      lora_alpha: 4,
      max_steps: 6,
    },
    host,
  );
  assert.equal(
    third.trainableParameters * 2,
    first.trainableParameters,
    'the new pair of half the rank trains',
  );

  const prompt = batch();
  const [before, now] = [
    await logits(base, prompt, second.adapter),
    await logits(base, prompt, third.adapter),
  ];
  const start = await startOf(third.run);
  close(await logits(base, prompt, start), before, 2e-5);
  assert.ok(largest(now, before) > 1e-3, 'the third task moved');

  // The stacked file: r + r + r/2, s = 2 for all, the first task's rows and columns untouched.
  const [one, all] = [await readAdapterFolder(first.adapter), await stacked(third.adapter)];
  const { peft_type, r, lora_alpha } = all.config as LoraConfig;
  assert.deepEqual([peft_type, r, lora_alpha], ['LORA', 10, 20]);
  for (const [name, tensor] of one.tensors) {
    const [old, whole] = [await tensor.read(), await all.tensors.get(name)!.read()];
    if (name.endsWith('lora_A.weight')) assert.deepEqual(whole.slice(0, old.length), old, name);
    else
      for (let o = 0; o < old.length / 4; o++)
        assert.deepEqual(whole.slice(10 * o, 10 * o + 4), old.slice(4 * o, 4 * o + 4), `${name} row ${o}`);
  }
  const alone = join(folder, 'stacked-alone');
  const { plan, values } = await loaded(third.adapter);
  const { config, tensors } = adapterFiles(plan, values, base);
  await writeAdapterFolder(alone, { config, tensors });
  assert.ok(!existsSync(join(alone, 'engine_state.json')));
  close(await logits(base, prompt, alone), now, 2e-5);
});

/** The adapter of a run before its first step. */
async function startOf(run: string): Promise<string> {
  const { recipe } = loadRecipe(join(run, 'recipe.yaml'), catalogue);
  const { plan, values } = await planStart(recipe);
  const path = join(folder, 'start');
  await writeAdapterFolder(path, adapterFiles(plan, values, join(folder, 'base')));
  return path;
}

async function planStart(settings: AdapterSettings) {
  const plan = await planWithEarlier(await model(), settings);
  const values = new Map<string, Float32Array>();
  for (const { name, initial } of plan.tensors)
    values.set(name, await initial(new Random(1), () => Promise.reject(new Error('no base is needed'))));
  return { plan, values };
}

const model = async () => modelFromConfig((await openCheckpoint(join(folder, 'base'))).config);
const loaded = async (path: string) => loadAdapter(path, await model());
const stacked = (path: string) => readAdapterFolder(path);

test('without the penalty it is one LoRA after another', async () => {
  const first = await task('plain-one', {});
  const merged = join(folder, 'merged');
  await merge(
    { model: join(folder, 'base'), adapter: first.adapter, out: merged, device: 'cpu', threads: 1 },
    new TestHost(),
  );
  const common = { dataset: 'second.jsonl', lora_dropout: 0.2, max_steps: 8 };
  const sequential = await task('plain-two', { ...common, model: 'merged' });
  const ours = await task('free-two', {
    ...common,
    adapter: 'o_lora',
    lamda_1: 0,
    previous_adapters: ['runs/plain-one/adapter'],
  });
  const [expected, found] = [await loaded(sequential.adapter), await loaded(ours.adapter)];
  for (const [name, values] of expected.values) close(found.values.get(name)!, values, 2e-4);
  const held = await task('held-two', {
    ...common,
    adapter: 'o_lora',
    previous_adapters: ['runs/plain-one/adapter'],
  });
  const moved = await loaded(held.adapter);
  const [name] = [...expected.values.keys()];
  assert.ok(
    largest(moved.values.get(name!)!, expected.values.get(name!)!) > 1e-3,
    'the penalty does something',
  );
});

test('save_tasks leaves a LoRA folder for each task and says what the whole says', async () => {
  const first = await task('apart-one', {});
  const second = await task('apart-two', {
    adapter: 'o_lora',
    save_tasks: true,
    previous_adapters: ['runs/apart-one/adapter'],
    use_rslora: true,
  });
  const [old, kept] = [
    await readAdapterFolder(first.adapter),
    await readAdapterFolder(join(second.adapter, 'task-1')),
  ];
  assert.deepEqual([...kept.tensors.keys()].sort(), [...old.tensors.keys()].sort());
  for (const [name, tensor] of old.tensors)
    assert.deepEqual(await kept.tensors.get(name)!.read(), await tensor.read(), name);
  const config = JSON.parse(readFileSync(join(second.adapter, 'adapter_config.json'), 'utf8'));
  assert.equal(config.peft_type, 'O_LORA', 'nothing that could be taken for the whole');
  const newest = await readAdapterFolder(join(second.adapter, 'task-2'));
  const { r, lora_alpha } = newest.config as LoraConfig;
  assert.deepEqual([r, lora_alpha], [4, 16], 's = alpha/√r = 4');
});

test('what cannot be taken in is refused, all of it at once', async () => {
  await task('whole-norm', { modules_to_save: ['norm'], max_steps: 1 });
  await task('wide', { max_steps: 1 });
  await assert.rejects(
    task('refused', {
      adapter: 'o_lora',
      previous_adapters: ['runs/whole-norm/adapter', 'base'],
    }),
    /runs\/whole-norm\/adapter.*holds a whole[\s\S]*base.*holds a model/,
  );
  await assert.rejects(
    task('narrow', {
      adapter: 'o_lora',
      target_modules: ['q_proj'],
      previous_adapters: ['runs/wide/adapter'],
    }),
    /runs\/wide\/adapter.*k_proj.*target_modules leaves out/,
  );
  await assert.rejects(
    task('missing', { adapter: 'o_lora', previous_adapters: ['runs/nowhere'] }),
    /previous_adapters: there is nothing at .*runs\/nowhere/,
  );
  await assert.rejects(
    task('twice', { adapter: 'o_lora', previous_adapters: ['runs/wide/adapter', './runs/wide/adapter'] }),
    /names a folder twice/,
  );
  await assert.rejects(
    task('pissa', { adapter: 'o_lora', init_lora_weights: 'pissa', lamda_1: -1 }),
    /lamda_1: expected a number at least 0 and at most 1000/,
  );
});

test('a resumed task goes on to the bits of the uninterrupted one', async () => {
  await task('resume-one', { max_steps: 2 });
  const settings = { adapter: 'o_lora', previous_adapters: ['runs/resume-one/adapter'], max_steps: 6 };
  const whole = await task('resume-whole', settings);
  const host = new TestHost((event, self) => {
    if (event.type === 'step' && event.step === 3) self.stopRequested = true;
  });
  await trainTiny(folder, { ...settings, output_dir: 'runs/resume-parts' }, host);
  const rest = await task('resume-parts', { ...settings, resume_from_checkpoint: true });
  assert.deepEqual((await loaded(rest.adapter)).values, (await loaded(whole.adapter)).values);
});

function largest(found: Float32Array, expected: Float32Array): number {
  assert.equal(found.length, expected.length);
  return found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
}

function close(found: Float32Array, expected: Float32Array, tolerance: number): void {
  const worst = largest(found, expected);
  assert.ok(worst <= tolerance, `differs by ${worst}`);
}
