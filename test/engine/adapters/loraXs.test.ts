// LoRA-XS: output and gradient of the formulas for given directions (test/reference/formulas.py); a run takes them from the base
// weight, trains R alone, resumes without a new decomposition and is exactly a LoRA.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { loraXs } from '../../../src/engine/adapters/loraXs';
import { loraConfig } from '../../../src/engine/adapters/peftConfig';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { writeAdapterFolder } from '../../../src/engine/adapters/peftWriting';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import type { Site } from '../../../src/engine/adapters/variant';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { readTensor } from '../../../src/engine/checkpoint/safetensors';
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

for (const [name, [outFeatures, inFeatures]] of Object.entries({
  tall: [13, 7],
  wide: [6, 11],
} as const)) {
  test(`${name}: output and gradients of the formulas`, async () => {
    const golden = await formulas('svd');
    const own = (part: string) => golden(`${name}.xs.${part}`);
    const [r, s] = [3, 0.5];
    const site = {
      path: 'p',
      module: { kind: 'linear' },
      inFeatures,
      outFeatures,
      r,
      alpha: s * r,
    } as unknown as Site;
    const settings = { use_rslora: false, settings: {} } as unknown as AdapterSettings;
    const found = await runSite(loraXs, site, settings, await own('x'), await own('delta'), {
      lora_xs_R: { shape: [r, r], data: await own('r') },
      lora_xs_left: { shape: [outFeatures, r], data: await own('left') },
      lora_xs_right: { shape: [r, inFeatures], data: await own('right') },
    });
    close(found.y, await own('y'), 1e-5);
    close(found.gradients.get('lora_xs_R')!, await own('grad_r'), 2e-5);
    close(found.gradients.get('x')!, await own('grad_x'), 2e-5);
  });
}

const settings = {
  adapter: 'lora_xs',
  r: 6,
  target_modules: ['q_proj', 'down_proj'],
  learning_rate: 5e-2,
  max_steps: 6,
};
const path = 'model.layers.1.mlp.down_proj';

test('a run trains R between the base weight’s directions, and resumes to the same bits', async () => {
  const whole = await trainTiny(folder, { ...settings, output_dir: 'runs/whole' });
  assert.equal(whole.trainableParameters, 4 * 36);
  const host = new TestHost((event, self) => {
    if (event.type === 'step' && event.step === 3) self.stopRequested = true;
  });
  await trainTiny(folder, { ...settings, output_dir: 'runs/parts' }, host);
  const rest = await trainTiny(folder, {
    ...settings,
    output_dir: 'runs/parts',
    resume_from_checkpoint: true,
  });
  const checkpoint = await openCheckpoint(join(folder, 'base'));
  const model = modelFromConfig(checkpoint.config);
  const [one, two] = [await loadAdapter(whole.adapter, model), await loadAdapter(rest.adapter, model)];
  assert.deepEqual(one.values, two.values);

  // W [32, 48]: U_rΣ_r = W·V_r, and both sides are orthogonal.
  const weight = await readTensor(checkpoint.tensors.get(`${path}.weight`)!);
  const [left, right] = [one.values.get(`${path}.lora_xs_left`)!, one.values.get(`${path}.lora_xs_right`)!];
  for (let k = 0; k < 6; k++) {
    for (let o = 0; o < 32; o++) {
      let sum = 0;
      for (let j = 0; j < 48; j++) sum += weight[o * 48 + j]! * right[k * 48 + j]!;
      assert.ok(
        Math.abs(sum - left[o * 6 + k]!) <= 1e-4,
        `U·Σ[${o}, ${k}] is ${left[o * 6 + k]}, not ${sum}`,
      );
    }
    for (let l = 0; l < 6; l++) {
      let [rows, columns] = [0, 0];
      for (let j = 0; j < 48; j++) rows += right[k * 48 + j]! * right[l * 48 + j]!;
      for (let o = 0; o < 32; o++) columns += left[o * 6 + k]! * left[o * 6 + l]!;
      assert.ok(Math.abs(rows - (k === l ? 1 : 0)) <= 1e-4, `V's rows ${k} and ${l}: ${rows}`);
      if (k !== l) assert.ok(Math.abs(columns) <= 1e-3, `U·Σ's columns ${k} and ${l}: ${columns}`);
    }
  }
  const norms = Array.from({ length: 6 }, (_, k) =>
    Math.hypot(...Array.from({ length: 32 }, (__, o) => left[o * 6 + k]!)),
  );
  assert.deepEqual(
    norms,
    norms.toSorted((a, b) => b - a),
    'the largest first',
  );
});

test('the file is a LoRA for PEFT, exactly', async () => {
  const run = await trainTiny(folder, { ...settings, output_dir: 'runs/export' });
  const { config, tensors } = await readAdapterFolder(run.adapter);
  assert.deepEqual(
    { ...config, base_model_name_or_path: null },
    {
      ...loraConfig({ r: 6, lora_alpha: 8, task_type: 'CAUSAL_LM', target_modules: ['down_proj', 'q_proj'] }),
    },
  );
  const alone = join(folder, 'alone');
  const list = await Promise.all(
    [...tensors.values()].map(async ({ name, shape, read }) => ({ name, shape, data: await read() })),
  );
  await writeAdapterFolder(alone, { config, tensors: list });
  const random = new Random(4, 'ids');
  const prompt = { ids: Int32Array.from({ length: 12 }, () => random.below(1024)), rows: 2, length: 6 };
  const logits = (adapter?: string) =>
    onRuntime((runtime) => logitsOf(runtime, join(folder, 'base'), prompt, adapter));
  const [native, exported, base] = [await logits(run.adapter), await logits(alone), await logits()];
  close(exported, native, 2e-5);
  assert.ok(
    native.some((value, i) => Math.abs(value - base[i]!) > 1e-3),
    'the adapter does something',
  );
});

test('more directions than a weight has are refused with the module and its limit', async () => {
  await assert.rejects(
    trainTiny(folder, { ...settings, r: 40, output_dir: 'runs/refused' }),
    /q_proj is 32 wide and 32 high, and has no 40 singular directions/,
  );
  await assert.rejects(
    trainTiny(folder, { ...settings, init_lora_weights: 'pissa', output_dir: 'runs/refused' }),
    /init_lora_weights has no effect with adapter: lora_xs/,
  );
});

function close(found: Float32Array, expected: Float32Array, tolerance: number): void {
  assert.equal(found.length, expected.length);
  const worst = found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  assert.ok(worst <= tolerance, `differs by ${worst}`);
}
