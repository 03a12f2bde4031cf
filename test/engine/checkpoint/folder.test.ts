import assert from 'node:assert/strict';
import { mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { readTensor, type TensorToWrite, writeSafetensors } from '../../../src/engine/checkpoint/safetensors';
import { type ExpectedTensor, resolveNames, verifyTensors } from '../../../src/engine/checkpoint/verify';
import { CheckpointError } from '../../../src/engine/errors';
import { fails, fillFolder, scratch, sharedData } from '../files/scratch';

const tensor = (
  name: string,
  shape: number[] = [2],
  dtype: TensorToWrite['dtype'] = 'F32',
): TensorToWrite => ({
  name,
  dtype,
  shape,
  data: new Float32Array(shape.reduce((a, b) => a * b, 1)).fill(1),
});
const config = JSON.stringify({ model_type: 'llama', hidden_size: 2 });

async function sharded(folder: string, weightMap: Record<string, string>): Promise<void> {
  await mkdir(folder, { recursive: true });
  for (const file of new Set(Object.values(weightMap))) {
    const names = Object.keys(weightMap).filter((name) => weightMap[name] === file);
    await writeSafetensors(
      join(folder, file),
      names.map((name) => tensor(name)),
    );
  }
  await fillFolder(folder, {
    'config.json': config,
    'model.safetensors.index.json': JSON.stringify({ metadata: { total_size: 1 }, weight_map: weightMap }),
  });
}

test('a single file is opened by its folder and by any file in it', async (t) => {
  const folder = await scratch(t, {
    'config.json': `\ufeff${config}`,
    'generation_config.json': '{"eos_token_id": 2}',
  });
  await writeSafetensors(join(folder, 'model.safetensors'), [tensor('a', [2, 3]), tensor('b', [1], 'BF16')]);
  for (const path of [folder, `${folder}/`, join(folder, 'config.json'), join(folder, 'model.safetensors')]) {
    const checkpoint = await openCheckpoint(path);
    assert.equal(checkpoint.folder, folder);
    assert.equal(checkpoint.modelType, 'llama');
    assert.equal(checkpoint.config.hidden_size, 2);
    assert.deepEqual(checkpoint.generationConfig, { eos_token_id: 2 });
    assert.deepEqual([...checkpoint.tensors.keys()].sort(), ['a', 'b']);
    assert.equal(checkpoint.totalBytes, 26);
    assert.deepEqual(checkpoint.files, [join(folder, 'model.safetensors')]);
  }
});

test('shards are opened through their index', async (t) => {
  const folder = await scratch(t);
  await sharded(folder, { a: 'model-1.safetensors', b: 'model-2.safetensors', c: 'model-1.safetensors' });
  const { tensors, files } = await openCheckpoint(folder);
  assert.deepEqual([...tensors.keys()].sort(), ['a', 'b', 'c']);
  assert.equal(files.length, 2);
  assert.equal(tensors.get('b')?.file, join(folder, 'model-2.safetensors'));
  assert.deepEqual([...(await readTensor(tensors.get('b')!))], [1, 1]);
});

test("the hub's cache is opened by snapshot and by model folder, through its symlinks", async (t) => {
  const root = await scratch(t);
  const model = join(root, 'models--org--name');
  await mkdir(join(model, 'blobs'), { recursive: true });
  await fillFolder(join(model, 'blobs'), { c0ffee: config });
  await writeSafetensors(join(model, 'blobs', 'feed'), [tensor('a')]);
  const snapshot = join(model, 'snapshots', 'abc123');
  await mkdir(snapshot, { recursive: true });
  await symlink('../../blobs/c0ffee', join(snapshot, 'config.json'));
  await symlink('../../blobs/feed', join(snapshot, 'model.safetensors'));
  const paths = [model, join(model, 'snapshots'), snapshot, join(snapshot, 'model.safetensors')];
  for (const path of paths) assert.equal((await openCheckpoint(path)).folder, snapshot, path);
  // With two snapshots only refs/main tells which is meant.
  await fillFolder(model, { 'snapshots/older/config.json': config });
  await fails(() => openCheckpoint(model), {
    class: CheckpointError,
    code: 'hub-cache-incomplete',
    says: ['abc123', 'older'],
  });
  await fillFolder(model, { 'refs/main': 'abc123\n' });
  for (const path of paths) assert.equal((await openCheckpoint(path)).folder, snapshot, path);
  // A link whose blob was never downloaded.
  await symlink('../../blobs/gone', join(model, 'snapshots', 'older', 'model.safetensors'));
  await fails(() => openCheckpoint(join(model, 'snapshots', 'older')), {
    class: CheckpointError,
    code: 'checkpoint-file-missing',
    says: ['model.safetensors'],
  });
});

test('a hub name instead of a folder is answered with where its cache lies', async (t) => {
  const home = await scratch(t, { 'hub/models--org--name/refs/main': 'x' });
  const before = process.env.HF_HOME;
  process.env.HF_HOME = home;
  t.after(() => {
    if (before === undefined) delete process.env.HF_HOME;
    else process.env.HF_HOME = before;
  });
  const error = await fails(() => openCheckpoint('org/name'), {
    class: CheckpointError,
    code: 'checkpoint-missing',
    says: ['org/name'],
  });
  assert.ok(error.remedy.includes(join(home, 'hub', 'models--org--name')));
  const other = await fails(() => openCheckpoint('org/other'), {
    class: CheckpointError,
    code: 'checkpoint-missing',
    says: [],
  });
  assert.match(other.remedy, /hf download org\/other/);
});

const expected: ExpectedTensor[] = [
  { name: 'model.norm.weight', shape: [2] },
  { name: 'model.layers.0.up.weight', shape: [3, 2] },
  { name: 'lm_head.weight', shape: [5, 2], optional: true },
];

async function checkpointOf(t: Parameters<typeof scratch>[0], tensors: TensorToWrite[], more: object = {}) {
  const folder = await scratch(t, { 'config.json': JSON.stringify({ model_type: 'llama', ...more }) });
  await writeSafetensors(join(folder, 'model.safetensors'), tensors);
  return openCheckpoint(folder);
}

test('tensors that are all there pass, with what may be missing and what is usual surplus', async (t) => {
  verifyTensors(
    await checkpointOf(t, [
      tensor('model.norm.weight', [2], 'BF16'),
      tensor('model.layers.0.up.weight', [3, 2], 'F16'),
      tensor('model.layers.0.self_attn.rotary_emb.inv_freq', [4]),
    ]),
    expected,
  );
});

test('all missing, surplus, misshapen and mistyped tensors are listed at once', async (t) => {
  const checkpoint = await checkpointOf(t, [
    tensor('model.layers.0.up.weight', [2, 3]),
    { name: 'lm_head.weight', dtype: 'I8', shape: [5, 2], data: new Uint8Array(10) },
    tensor('model.layers.1.up.weight', [3, 2]),
  ]);
  const error = await fails(() => verifyTensors(checkpoint, expected), {
    class: CheckpointError,
    code: 'checkpoint-tensors-mismatch',
    says: [
      checkpoint.folder,
      /"model\.norm\.weight": is missing; expected \[2\]/,
      /"model\.layers\.0\.up\.weight": has shape \[2, 3\]; expected \[3, 2\]/,
      /"lm_head\.weight": is I8; expected F32, F16, BF16/,
      /"model\.layers\.1\.up\.weight": is surplus/,
    ],
  });
  assert.equal(error.problems.length, 4);
});

test('a quantised checkpoint is called one', async (t) => {
  const checkpoint = await checkpointOf(t, [tensor('model.norm.qweight')], {
    quantization_config: { quant_method: 'gptq' },
  });
  const error = await fails(() => verifyTensors(checkpoint, expected), {
    class: CheckpointError,
    code: 'checkpoint-tensors-mismatch',
    says: [],
  });
  assert.match(error.remedy, /quantised \(gptq\)/);
});

test('names resolve with and without the prefix', async (t) => {
  const bare = await checkpointOf(t, [
    tensor('norm.weight'),
    tensor('layers.0.up.weight', [3, 2]),
    tensor('lm_head.weight', [5, 2]),
  ]);
  const tensors = resolveNames(bare.tensors, expected, 'model.');
  verifyTensors({ ...bare, tensors }, expected);
  assert.equal(tensors.get('model.norm.weight')?.name, 'norm.weight');
  // The other way round, and a name that would meet one that is there already.
  const base = expected.map((one) => ({ ...one, name: one.name.replace('model.', '') }));
  assert.ok(
    resolveNames(new Map([['model.norm.weight', bare.tensors.get('norm.weight')!]]), base, 'model.').has(
      'norm.weight',
    ),
  );
  const both = new Map([
    ['norm.weight', bare.tensors.get('norm.weight')!],
    ['model.norm.weight', bare.tensors.get('norm.weight')!],
  ]);
  assert.deepEqual([...resolveNames(both, expected, 'model.').keys()], ['norm.weight', 'model.norm.weight']);
});

test('a real checkpoint is opened', async (t) => {
  const path = sharedData('stories260k');
  if (!path) return t.skip('no shared data');
  const { modelType, tensors } = await openCheckpoint(path);
  assert.equal(modelType, 'llama');
  assert.deepEqual(tensors.get('model.embed_tokens.weight')?.shape, [512, 64]);
});
