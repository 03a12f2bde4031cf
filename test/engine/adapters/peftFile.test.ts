// Adapter folders, written and read again: tensors, settings, bytes, cards; real ones of PEFT.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { writeAdapterFolder } from '../../../src/engine/adapters/peftWriting';
import { readSafetensors, writeSafetensors } from '../../../src/engine/checkpoint/safetensors';
import { AdapterError, RunError } from '../../../src/engine/errors';
import { fails, scratch, sharedData, tree } from '../files/scratch';
import { A, adapter, B, config } from './smallAdapter';

test('an adapter comes back with equal tensors and settings, and again with equal bytes', async (t) => {
  const root = await scratch(t);
  await writeAdapterFolder(join(root, 'a'), adapter({ unknownKeys: { zeta: [1], alora: { b: 1, a: 2 } } }));
  assert.deepEqual(await tree(root), [
    'a',
    'a/README.md',
    'a/adapter_config.json',
    'a/adapter_model.safetensors',
  ]);
  const read = await readAdapterFolder(join(root, 'a'));
  assert.deepEqual(read.config, adapter().config);
  assert.deepEqual(read.unknownKeys, { zeta: [1], alora: { b: 1, a: 2 } });
  assert.equal(read.baseChange, 'plain');
  for (const { name, shape, data } of adapter().tensors) {
    const found = read.tensors.get(name)!;
    assert.deepEqual(found.shape, shape);
    assert.deepEqual(await found.read(), typeof data === 'function' ? await data() : data);
  }
  assert.deepEqual((await readSafetensors(join(root, 'a/adapter_model.safetensors'))).metadata, {
    format: 'pt',
  });
  await writeAdapterFolder(join(root, 'b'), {
    config: read.config,
    unknownKeys: read.unknownKeys,
    tensors: [...read.tensors.values()].map(({ name, shape, read: data }) => ({ name, shape, data })),
  });
  for (const name of ['README.md', 'adapter_config.json', 'adapter_model.safetensors']) {
    assert.ok((await readFile(join(root, 'a', name))).equals(await readFile(join(root, 'b', name))), name);
  }
});

test('the card names base, settings and how to load, whatever the base is called', async (t) => {
  const folder = join(await scratch(t), 'a');
  const evil = 'org/x"\n---\nlicense: evil | `rm`';
  await writeAdapterFolder(
    folder,
    adapter({
      card: {
        baseModel: evil,
        settings: [
          ['r', 2],
          ['target_modules', 'a|b'],
        ],
      },
    }),
  );
  const card = await readFile(join(folder, 'README.md'), 'utf8');
  assert.ok(card.includes(`base_model: ${JSON.stringify(evil)}`));
  assert.ok(card.includes(`from_pretrained(${JSON.stringify(evil)})`));
  assert.equal(card.match(/^---$/gm)?.length, 2);
  assert.ok(card.includes('| target_modules | a\\|b |'));
  assert.ok(card.includes('PeftModel.from_pretrained'));
});

test('a folder with other things in it is not replaced', async (t) => {
  const folder = await scratch(t, { 'thesis.md': 'years of work' });
  await fails(() => writeAdapterFolder(folder, adapter()), {
    class: AdapterError,
    code: 'adapter-folder-in-use',
    says: ['thesis.md'],
  });
  assert.deepEqual(await tree(folder), ['thesis.md']);
  await fails(() => writeAdapterFolder(join(folder, 'gone', 'a'), adapter()), {
    class: RunError,
    code: 'folder-missing',
    says: ['gone'],
  });
});

test('real adapters are read; those of other programs are refused for what they are', async (t) => {
  const adapters = sharedData('adapters');
  if (!adapters) return t.skip('no shared data');
  const root = await scratch(t);
  for (const [name, tensors, r] of [
    ['peft-gpt2', 72, 8],
    ['peft-trl', 24, 16],
  ] as const) {
    const read = await readAdapterFolder(join(adapters, name));
    assert.equal(read.tensors.size, tensors);
    assert.equal(read.config.r, r);
    assert.deepEqual([read.warnings, read.unknownKeys], [[], {}]);
    const copy = join(root, name);
    await writeAdapterFolder(copy, {
      ...read,
      tensors: [...read.tensors.values()].map((one) => ({ ...one, data: one.read })),
    });
    assert.ok(
      (await readFile(join(copy, 'adapter_model.safetensors'))).equals(
        await readFile(join(adapters, name, 'adapter_model.safetensors')),
      ),
    );
    const json = async (folder: string): Promise<Record<string, unknown>> =>
      JSON.parse(await readFile(join(folder, 'adapter_config.json'), 'utf8'));
    const before = await json(join(adapters, name));
    const after = await json(copy);
    for (const key of Object.keys(before)) assert.deepEqual(after[key], before[key], key);
  }
  const refusals: [string, string, string][] = [
    ['peft-bloom-bin', 'pickle-adapter', 'adapter_model.bin'],
    ['diffusers-lora', 'adapter-format-unsupported', 'diffusers'],
    ['mlx', 'adapter-format-unsupported', 'MLX'],
  ];
  for (const [name, code, says] of refusals) {
    await fails(() => readAdapterFolder(join(adapters, name)), {
      class: AdapterError,
      code,
      says: [name, says],
    });
  }
});

test('F16 and BF16 adapters are read as float32', async (t) => {
  const folder = await scratch(t, { 'adapter_config.json': config() });
  await writeSafetensors(join(folder, 'adapter_model.safetensors'), [
    { name: A, dtype: 'F16', shape: [2, 3], data: Float32Array.of(1, 2, 3, 4, 5, 0.5) },
    { name: B, dtype: 'BF16', shape: [4, 2], data: new Float32Array(8).fill(-2) },
  ]);
  const { tensors } = await readAdapterFolder(folder);
  assert.deepEqual([...(await tensors.get(A)!.read())], [1, 2, 3, 4, 5, 0.5]);
  assert.deepEqual([...(await tensors.get(B)!.read())], Array(8).fill(-2));
});
