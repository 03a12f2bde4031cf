// AdaLoRA's budget: how many triplets live at each step, when, and what a file keeps of them.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { AdaLoraBudget } from '../../../src/engine/adapters/adaloraBudget';
import { adapterFiles } from '../../../src/engine/adapters/adapterFiles';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { readAdapterFolder, writeAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { planAdapter } from '../../../src/engine/adapters/plan';
import type { StepAccess } from '../../../src/engine/adapters/variant';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';
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
function run(values: Map<string, Float32Array>, from: number, to: number, budget: AdaLoraBudget): number[] {
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
    budget.afterUpdate(access);
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
