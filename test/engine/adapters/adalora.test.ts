// AdaLoRA's budget: how many triplets live at each step, when, and what a file keeps of them.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { AdaLoraBudget } from '../../../src/engine/adapters/adaloraBudget';
import { adapterFiles } from '../../../src/engine/adapters/adapterFiles';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { writeAdapterFolder } from '../../../src/engine/adapters/peftWriting';
import { planAdapter } from '../../../src/engine/adapters/plan';
import type { StepAccess } from '../../../src/engine/adapters/variant';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { BaseWeights } from '../../../src/engine/execution/baseWeights';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';
import { openRuntime } from '../../../src/engine/session';
import { Trainer } from '../../../src/engine/train/trainer';
import { adapterSettings, randomValues } from '../../contracts/randomAdapter';

const own = {
  init_r: 6,
  target_r: 2,
  tinit: 4,
  tfinal: 6,
  deltaT: 2,
  beta1: 0.85,
  beta2: 0.85,
  orth_reg_weight: 0.1,
};
const total = 30;

async function planned(more: Partial<typeof own> = {}) {
  const model = modelFromConfig(
    (await openCheckpoint(join('test', 'goldens', 'models', 'llama-plain'))).config,
  );
  const settings = adapterSettings(model, { adapter: 'adalora', settings: { ...own, ...more } });
  const plan = planAdapter(model, settings);
  return { model, plan, settings, sites: [...plan.sites.values()] };
}

/** A run in which every value moves a little at each step. */
function run(
  values: Map<string, Float32Array>,
  from: number,
  to: number,
  budget: AdaLoraBudget,
  notes: string[] = [],
): number[] {
  const live: number[] = [];
  for (let step = from; step <= to; step++) {
    const random = new Random(step, 'move');
    for (const [name, tensor] of values)
      values.set(
        name,
        tensor.map((value) => value + 0.01 * random.normal()),
      );
    const access: StepAccess = {
      step,
      parameters: () => values,
      gradients: () => new Map([...values].map(([name, data]) => [name, data.map(() => random.normal())])),
      write: (changed) => {
        for (const [name, data] of changed) values.set(name, data.slice());
      },
      resetOptimizer: () => {},
    };
    notes.push(...budget.afterUpdate(access));
    live.push(
      [...values]
        .filter(([name]) => name.endsWith('lora_E'))
        .reduce((sum, [, e]) => sum + e.filter((value) => value !== 0).length, 0),
    );
  }
  return live;
}

test('ranks fall along the cubic schedule from init_r to target_r, and stay', async () => {
  const { plan, settings, sites } = await planned();
  const live = run(randomValues(plan, 0.1), 1, total, new AdaLoraBudget(sites, settings, total));
  const [first, last] = [6 * sites.length, 2 * sites.length];
  assert.ok(
    live.slice(0, 5).every((count) => count === first),
    'all ranks live up to tinit',
  );
  for (let t = 6; t < total - own.tfinal; t += 2) {
    const left = 1 - (t - own.tinit) / (total - own.tfinal - own.tinit);
    assert.equal(live[t], Math.floor((first - last) * left ** 3 + last), `step ${t}`);
  }
  assert.ok(
    live.slice(total - own.tfinal).every((count) => count === last),
    `the final phase: ${live}`,
  );
});

test('the rank of every module is told while ranks fall, and at the end', async () => {
  const { plan, settings, sites } = await planned();
  const values = randomValues(plan, 0.1);
  const notes: string[] = [];
  const live = run(values, 1, total, new AdaLoraBudget(sites, settings, total), notes);
  const told = notes.map((note) => {
    const [, sum, step, list] = /^AdaLoRA keeps (\d+) ranks after step (\d+): (.*)\.$/.exec(note)!;
    const ranks = new Map(list!.split(', ').map((item) => item.split(' ') as [string, string]));
    assert.deepEqual(
      [...ranks.keys()],
      sites.map(({ path }) => path),
    );
    assert.equal(
      [...ranks.values()].reduce((all, rank) => all + Number(rank), 0),
      Number(sum),
    );
    assert.equal(Number(sum), live[Number(step) - 1], 'what is told is what is left');
    return { sum: Number(sum), ranks };
  });
  assert.ok(told.length > 2 && told.length <= 11, `${told.length} notes`);
  for (const [i, { sum }] of told.slice(1).entries()) assert.ok(sum < told[i]!.sum || i === told.length - 2);
  for (const { path } of sites)
    assert.equal(
      Number(told.at(-1)!.ranks.get(path)),
      values.get(`${path}.lora_E`)!.filter((value) => value !== 0).length,
      path,
    );
});

test('a budget that was interrupted goes on as if it had not been', async () => {
  const { plan, settings, sites } = await planned();
  const whole = randomValues(plan, 0.1);
  run(whole, 1, total, new AdaLoraBudget(sites, settings, total));
  const values = randomValues(plan, 0.1);
  const before = new AdaLoraBudget(sites, settings, total);
  run(values, 1, 13, before);
  const { values: kept, tensors } = before.state();
  const after = new AdaLoraBudget(sites, settings, total);
  after.restore({ values: JSON.parse(JSON.stringify(kept)), tensors });
  run(values, 14, total, after);
  assert.deepEqual(values, whole);
  assert.throws(() => after.restore({ values: { masks: { a: [true] } }, tensors: [] }), /has 6 entries/);
});

test('a file holds the kept triplets only, and gives the same adapter back', async (t) => {
  const { model, plan, settings, sites } = await planned();
  const values = randomValues(plan, 0.1);
  const budget = new AdaLoraBudget(sites, settings, total);
  run(values, 1, total, budget);
  const folder = await mkdtemp(join(tmpdir(), 'workbench-adalora-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeAdapterFolder(folder, adapterFiles(plan, values, 'base', budget.state().values));
  const file = await readAdapterFolder(folder);
  assert.ok(file.config.peft_type === 'ADALORA');
  assert.equal(file.config.total_step, total);
  const stored = [...file.tensors.values()].filter(({ name }) => name.endsWith('lora_E'));
  assert.equal(
    stored.reduce((sum, { shape }) => sum + shape[0]!, 0),
    2 * sites.length,
  );
  const loaded = await loadAdapter(folder, model);
  for (const { path } of sites) {
    const e = values.get(`${path}.lora_E`)!;
    assert.deepEqual(loaded.values.get(`${path}.lora_E`), e);
    const [a, again] = [values, loaded.values].map((all) => all.get(`${path}.lora_A`)!) as [
      Float32Array,
      Float32Array,
    ];
    const width = a.length / 6;
    e.forEach((value, k) => {
      const row = again.subarray(k * width, (k + 1) * width);
      assert.deepEqual(row, value === 0 ? new Float32Array(width) : a.subarray(k * width, (k + 1) * width));
    });
  }
});

test('a schedule without room for changes is refused', async () => {
  const { settings, sites } = await planned({ tinit: 10, tfinal: 20 });
  assert.throws(() => new AdaLoraBudget(sites, settings, total), /leave none for changing the ranks/);
});

test('the orthogonality loss counts once a step, however many micro-batches it has', async () => {
  const { model, plan, settings } = await planned();
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', 'llama-plain'));
  const weights = BaseWeights.of(runtime, checkpoint, model);
  const ids = Int32Array.from({ length: 16 }, (_, i) => (7 * i) % model.vocabularySize);
  const batch = (from: number, rows: number) => {
    const own = ids.subarray(from * 8, (from + rows) * 8);
    return {
      rows,
      length: 8,
      ids: own,
      targets: own.map((id) => (id + 1) % model.vocabularySize),
      positions: own.map((_, i) => i % 8),
      segments: new Int32Array(own.length).fill(1),
      trainedTokens: own.length,
      tokens: own.length,
      sourceRows: [],
    };
  };
  const gradients = async (parts: readonly (readonly [number, number])[]) => {
    const trainer = await Trainer.create({
      runtime,
      model,
      weights,
      plan,
      largestBatchTokens: 16,
      settings: {
        optim: 'adamw',
        weight_decay: 0,
        adam_beta1: 0.9,
        adam_beta2: 0.999,
        adam_epsilon: 1e-8,
        max_grad_norm: 1,
        settings: settings.settings,
        seed: 1,
        packing: false,
        gradient_accumulation_steps: parts.length,
        gradient_checkpointing: 'none',
      },
    });
    trainer.state.writeAll(randomValues(plan, 0.1));
    let extra = 0;
    for (const [i, [from, rows]] of parts.entries())
      extra += (await trainer.accumulate(batch(from, rows), 16, i > 0, i, parts.length)).extra;
    const found = trainer.state.readAll('gradient');
    trainer.release();
    return { extra, found };
  };
  const [whole, split] = [
    await gradients([[0, 2]]),
    await gradients([
      [0, 1],
      [1, 1],
    ]),
  ];
  assert.ok(whole.extra > 0.1);
  assert.ok(Math.abs(whole.extra - split.extra) < 1e-5 * whole.extra);
  for (const [name, gradient] of whole.found)
    split.found.get(name)!.forEach((value, i) => {
      assert.ok(Math.abs(value - gradient[i]!) < 1e-5, `${name}[${i}] is ${value}, not ${gradient[i]}`);
    });
  weights.release();
  await runtime.close();
});
