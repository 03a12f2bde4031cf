// The call `estimate`: parts that add up and follow the recipe, and suggestions that are each a forecast of their own.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { estimate, fitsIn } from '../../../src/engine/api/estimate';
import { catalogue } from '../../../src/engine/catalogue';
import { CheckpointError } from '../../../src/engine/errors';
import { estimatedBytes, rememberContext } from '../../../src/engine/estimate/deviceContext';
import { forecast } from '../../../src/engine/estimate/forecast';
import { suggest } from '../../../src/engine/estimate/suggestions';
import { decompositionBytes } from '../../../src/engine/linalg/decompositionMemory';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { parseRecipe } from '../../../src/engine/recipe/parse';
import { validateRecipe } from '../../../src/engine/recipe/validate';
import { tinyConfig, writeTinyModel } from '../api/tinyModel';
import { fails, scratch } from '../files/scratch';

const host = {
  emit: () => {},
  stopRequested: false,
  cancelRequested: false,
  takeCheckpointRequest: () => false,
};

function recipeOf(folder: string, given: Record<string, unknown> = {}) {
  const values = {
    model: folder,
    dataset: 'x.jsonl',
    max_length: 64,
    r: 4,
    per_device_train_batch_size: 4,
    gradient_accumulation_steps: 2,
    gradient_checkpointing: 'none',
    ...given,
  };
  return validateRecipe(parseRecipe(Buffer.from(JSON.stringify(values)), 'x.lora.json', folder), catalogue)
    .recipe;
}

const model = modelFromConfig(tinyConfig);

test('parts add up; weights, adapter and state are exact', async (t) => {
  const folder = await scratch(t);
  await writeTinyModel(folder, {}, 'BF16');
  const result = await estimate({ recipe: recipeOf(folder), notes: [] }, host);
  const sum = Object.values(result.parts).reduce((total, bytes) => total + bytes, 0);
  assert.equal(result.totalBytes, sum);
  // q, o: 16→16; k, v: 16→8; gate, up: 16→24; down: 24→16. Two layers of r = 4.
  const trained = 2 * 4 * (2 * 32 + 2 * 24 + 3 * 40);
  assert.equal(result.parts.adapter, 4 * trained);
  assert.equal(result.parts.gradients, 4 * trained);
  assert.equal(result.parts.optimizer, 8 * trained);
  // BF16 is widened: 2 tables of 512 x 16, 2 layers, 5 norms.
  const base = 2 * 512 * 16 + 2 * (2 * 256 + 2 * 128 + 3 * 384) + 5 * 16;
  assert.equal(result.parts.weights, 4 * base);
  assert.ok(result.parts.activations > 0 && result.availableBytes > 0);
  assert.equal(result.fits, result.totalBytes <= result.availableBytes);
});

test('on a GPU, what lies in system memory takes no room on the device, and each must fit by itself', () => {
  const wide = modelFromConfig({ ...tinyConfig, hidden_size: 256, intermediate_size: 1024 });
  const of = (given: Record<string, unknown>) =>
    forecast(wide, recipeOf('.', { device: 'cuda', dtype: 'float32', r: 64, ...given }));
  const plain = of({});
  const sum = (all: Record<string, number>) => Object.values(all).reduce((total, bytes) => total + bytes, 0);
  assert.equal(plain.totalBytes, sum(plain.parts));
  assert.equal(plain.hostBytes, sum(plain.host));
  assert.equal(plain.deviceBytes, plain.totalBytes - plain.hostBytes);
  assert.equal(plain.host.saving, plain.parts.saving);
  // The process itself is none of the device's.
  assert.ok(plain.host.workspace! >= 160 * 2 ** 20);
  assert.ok(plain.deviceBytes < 160 * 2 ** 20 && plain.deviceBytes > plain.parts.adapter);
  // Paged state lies in system memory, but for its window.
  const paged = of({ optim: 'paged_adamw' });
  assert.ok(paged.host.optimizer! > 0);
  assert.equal(paged.parts.saving, plain.parts.saving + paged.parts.optimizer - plain.parts.optimizer);
  // A decomposition works on the host.
  const milora = of({ init_lora_weights: 'milora' });
  assert.equal(milora.deviceBytes, plain.deviceBytes);
  const { hostBytes, deviceBytes, totalBytes } = forecast(wide, recipeOf('.', { r: 64 }));
  assert.deepEqual([hostBytes, deviceBytes], [0, totalBytes]);

  const needs = { deviceBytes: 10, hostBytes: 5 };
  assert.ok(fitsIn(needs, 10, 5) && fitsIn({ ...needs, hostBytes: 0 }, 10, null));
  assert.ok(!fitsIn(needs, 9, 100) && !fitsIn(needs, 100, 4));
});

test('full fine-tuning counts every weight once', () => {
  const { parts, trainableParameters } = forecast(model, recipeOf('.', { adapter: 'none', r: undefined }));
  assert.equal(parts.weights, 0);
  assert.equal(parts.adapter, 4 * trainableParameters);
});

test('a start from the base weights is counted where it needs more than the steps', () => {
  const wide = modelFromConfig({ ...tinyConfig, hidden_size: 1024, intermediate_size: 2048 });
  const of = (given: Record<string, unknown>) =>
    forecast(wide, recipeOf('.', { max_length: 8, per_device_train_batch_size: 1, r: 1, ...given }));
  const [plain, milora, corda, loftq] = [
    of({}),
    of({ init_lora_weights: 'milora' }),
    of({ init_lora_weights: 'corda' }),
    of({ init_lora_weights: 'loftq' }),
  ];
  // The changed weights take the places of the mapped ones.
  assert.equal(milora.parts.weights, plain.parts.weights);
  assert.ok(loftq.parts.weights < plain.parts.weights / 2);
  const { parts } = plain;
  const later = parts.adapter + parts.gradients + parts.optimizer + parts.saving + parts.activations;
  const one = 12 * 1024 * 2048 + decompositionBytes(1024, 2048);
  assert.ok(Math.abs(milora.totalBytes - plain.totalBytes - (one - later)) < 0.05 * one);
  // Per layer six inputs of 1024 and one of 2048, counted apart, at least.
  assert.ok(corda.totalBytes - milora.totalBytes > 2 * 4 * (6 * 1024 ** 2 + 2048 ** 2));
});

test('one decomposition stays within what is counted for it', () => {
  const script = join('build', `decomposition-${process.pid}.cjs`);
  // A process of its own, so that nothing else counts; esbuild by its command, as its interface cannot be in a bundle.
  const built = spawnSync(
    process.execPath,
    [
      'node_modules/esbuild/bin/esbuild',
      'test/engine/estimate/decomposition.ts',
      `--outfile=${script}`,
      ...['--bundle', '--platform=node', '--format=cjs', '--log-level=error'],
      ...['--external:koffi', '--external:onnxruntime-node'],
    ],
    { encoding: 'utf8' },
  );
  assert.equal(built.status, 0, built.stderr);
  try {
    const out = spawnSync(process.execPath, [script], { encoding: 'utf8' });
    const { grown, counted } = JSON.parse(out.stdout) as { grown: number; counted: number };
    assert.ok(grown < 1.35 * counted && grown > 0.4 * counted, `${grown} bytes, ${counted} counted`);
  } finally {
    rmSync(script);
  }
});

test('what lowers memory lowers the forecast', () => {
  const activations = (given: Record<string, unknown>): number =>
    forecast(model, recipeOf('.', given)).parts.activations;
  const none = activations({});
  assert.ok(activations({ gradient_checkpointing: 'selective' }) < none);
  assert.ok(activations({ per_device_train_batch_size: 2 }) < 0.7 * none);
  assert.ok(activations({ max_length: 32 }) < 0.7 * none);
});

test('suggestions: recomputation first, each re-estimated, a knob turned no further than it must', () => {
  const recipe = recipeOf('.');
  const need = (changed: typeof recipe): number => forecast(model, changed).totalBytes;
  const total = need(recipe);
  const available = need({ ...recipe, per_device_train_batch_size: 2, gradient_accumulation_steps: 4 });
  const suggestions = suggest(model, recipe, total, available, need);
  assert.match(suggestions[0]!.change, /^gradient_checkpointing: selective$/);
  assert.ok(suggestions.every(({ totalBytes }) => totalBytes < total));
  const batch = suggestions.filter(({ change }) => /^per_device_train_batch_size/.test(change));
  assert.ok(batch.length <= 1, 'the batch is not halved again once it fits');
  for (const { change, totalBytes } of batch) {
    assert.equal(totalBytes, available);
    assert.match(change, /per_device_train_batch_size: 2, gradient_accumulation_steps: 4/);
  }
  assert.ok(suggestions.some(({ totalBytes }) => totalBytes <= available));
});

test('a checkpoint that does not fit its config is refused before anything is compiled', async (t) => {
  const folder = await scratch(t);
  await writeTinyModel(folder);
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ ...tinyConfig, hidden_size: 32 }));
  await fails(() => estimate({ recipe: recipeOf(folder), notes: [] }, host), {
    class: CheckpointError,
    code: 'checkpoint-tensors-mismatch',
    says: ['embed_tokens'],
  });
});

test('for a CUDA device the driver’s words decide, CUDA’s own part included; too little memory there brings suggestions', {
  skip: process.platform === 'win32',
}, async (t) => {
  const folder = await scratch(t);
  await writeTinyModel(folder, {}, 'F32');
  const { PATH, LORA_WORKBENCH_CUDA_FOLDER: before } = process.env;
  t.after(() => {
    process.env.PATH = PATH;
    if (before === undefined) delete process.env.LORA_WORKBENCH_CUDA_FOLDER;
    else process.env.LORA_WORKBENCH_CUDA_FOLDER = before;
  });
  process.env.PATH = `${folder}:${PATH}`;
  process.env.LORA_WORKBENCH_CUDA_FOLDER = folder;
  const answers = async (free: number) => {
    const script = `#!/bin/sh\necho "0, GPU-a, H, 80000, 1, ${free}, 0, Disabled"\n`;
    writeFileSync(join(folder, 'nvidia-smi'), script, { mode: 0o755 });
    return estimate({ recipe: recipeOf(folder, { device: 'cuda', dtype: 'float32' }), notes: [] }, host);
  };
  const wide = await answers(1000);
  assert.deepEqual(wide.context, { bytes: estimatedBytes, measured: false });
  assert.ok(wide.parts.workspace > estimatedBytes && wide.deviceBytes > estimatedBytes);
  assert.deepEqual([wide.fits, wide.availableBytes], [true, 1000 * 2 ** 20]);
  assert.ok(wide.availableHostBytes! > 0);
  await rememberContext('H', 500 * 2 ** 20);
  const measured = await answers(1000);
  assert.deepEqual(measured.context, { bytes: 500 * 2 ** 20, measured: true });
  assert.equal(measured.deviceBytes - wide.deviceBytes, 500 * 2 ** 20 - estimatedBytes);
  const tight = await answers(500);
  assert.equal(tight.fits, false);
  assert.ok(tight.suggestions.every(({ totalBytes }) => totalBytes > 500 * 2 ** 20));
  assert.ok(tight.suggestions.length > 0);
});
