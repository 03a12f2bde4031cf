// Where an adapter lies, what its tensors are called, and every folder whose content does not fit.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { normalName, parseName, tensorName } from '../../../src/engine/adapters/peftNames';
import { AdapterError } from '../../../src/engine/errors';
import { type ExpectedFailure, fails, fillFolder, rawSafetensors, scratch, tree } from '../files/scratch';
import { A, B, config, q, weights } from './smallAdapter';

test('names are normalised and taken apart', () => {
  const a = `base_model.model.${q}.lora_A.weight`;
  assert.equal(normalName(`base_model.model.${q}.lora_A.default.weight`), a);
  assert.equal(normalName(`base_model.model.${q}.lora_A.mine.weight`, 'mine'), a);
  assert.equal(
    normalName(`base_model.model.${q}.lora_magnitude_vector.default.weight`),
    `base_model.model.${q}.lora_magnitude_vector`,
  );
  assert.equal(
    normalName('base_model.model.wte.lora_embedding_A.default'),
    'base_model.model.wte.lora_embedding_A',
  );
  assert.equal(
    normalName('base_model.model.lm_head.modules_to_save.default.weight'),
    'base_model.model.lm_head.weight',
  );
  assert.deepEqual(parseName(a), { module: q, parameter: 'lora_A.weight' });
  assert.deepEqual(parseName('base_model.model.lm_head.weight'), { module: 'lm_head' });
  assert.equal(parseName('base_model.model.x.lora_C.weight'), undefined);
  assert.equal(parseName(`${q}.lora_A.weight`), undefined);
});

test('an adapter is found by folder, file, inner folder and name', async (t) => {
  const root = await scratch(t);
  await fillFolder(root, {
    'run/adapter/adapter_config.json': config(),
    'run/adapter/adapter_model.safetensors': weights,
  });
  const at = (path: string, name?: string) => readAdapterFolder(join(root, path), { name });
  for (const path of [
    'run',
    'run/adapter',
    'run/adapter/adapter_model.safetensors',
    'run/adapter/adapter_config.json',
  ]) {
    const { folder, tensors } = await at(path);
    assert.equal(folder, join(root, 'run/adapter'));
    assert.deepEqual([...tensors.keys()], [tensorName(q, 'lora_A.weight'), tensorName(q, 'lora_B.weight')]);
  }
  await fillFolder(root, {
    'run/other/adapter_config.json': config(),
    'run/other/adapter_model.safetensors': weights,
  });
  assert.equal((await at('run', 'other')).folder, join(root, 'run/other'));
  await fails(() => at('run'), { class: AdapterError, code: 'adapter-ambiguous', says: ['adapter, other'] });
  await fails(() => at('run', 'third'), {
    class: AdapterError,
    code: 'adapter-ambiguous',
    says: ['"third"'],
  });
});

test('adapters whose base must change are refused unless the caller can do it', async (t) => {
  const folder = await scratch(t, {
    'adapter_config.json': config({ init_lora_weights: 'pissa' }),
    'adapter_model.safetensors': weights,
  });
  await fails(() => readAdapterFolder(folder), {
    class: AdapterError,
    code: 'adapter-needs-changed-base',
    says: ['"pissa"', folder],
  });
  assert.equal((await readAdapterFolder(folder, { acceptsBaseChange: true })).baseChange, 'pissa');
  for (const init_lora_weights of ['corda', 'pissa_niter_16']) {
    await fillFolder(folder, { 'adapter_config.json': config({ init_lora_weights }) });
    await fails(() => readAdapterFolder(folder, { acceptsBaseChange: true }), {
      class: AdapterError,
      code: 'adapter-needs-changed-base',
      says: [init_lora_weights],
    });
  }
});

const misfit = 'adapter-tensors-invalid';
const named = (...entries: [string, number[], string?][]) => {
  let at = 0;
  const json = Object.fromEntries(
    entries.map(([name, shape, dtype = 'F32']) => {
      const bytes = shape.reduce((x, y) => x * y, dtype === 'I64' ? 8 : 4);
      at += bytes;
      return [name, { dtype, shape, data_offsets: [at - bytes, at] }];
    }),
  );
  return rawSafetensors(json, at);
};
const badFolders: {
  name: string;
  files: Record<string, string | Uint8Array>;
  at?: string;
  code: string;
  says: ExpectedFailure['says'];
}[] = [
  { name: 'missing', files: {}, at: 'nowhere', code: 'adapter-missing', says: ['nowhere'] },
  { name: 'empty', files: {}, code: 'adapter-config-missing', says: ['empty'] },
  {
    name: 'a model',
    files: { 'config.json': '{}', 'model.safetensors': weights },
    code: 'model-instead-of-adapter',
    says: ['config.json'],
  },
  {
    name: 'pickle only',
    files: { 'adapter_config.json': config(), 'adapter_model.bin': 'PK' },
    code: 'pickle-adapter',
    says: ['adapter_model.bin'],
  },
  {
    name: 'no weights',
    files: { 'adapter_config.json': config() },
    code: 'adapter-weights-missing',
    says: ['adapter_model.safetensors'],
  },
  {
    name: 'weights alone',
    files: { 'adapter_model.safetensors': weights },
    at: 'adapter_model.safetensors',
    code: 'adapter-config-missing',
    says: ['adapter_config.json'],
  },
  {
    name: 'LFS pointer',
    files: {
      'adapter_config.json': config(),
      'adapter_model.safetensors': 'version https://git-lfs.github.com/spec/v1\n',
    },
    code: 'git-lfs-pointer',
    says: ['adapter_model.safetensors'],
  },
  {
    name: 'truncated',
    files: {
      'adapter_config.json': config(),
      'adapter_model.safetensors': weights.subarray(0, weights.length - 9),
    },
    code: 'safetensors-broken',
    says: ['9 are missing'],
  },
  {
    name: 'half a pair',
    files: { 'adapter_model.safetensors': named([A, [2, 3]]) },
    code: misfit,
    says: [A, 'no lora_B'],
  },
  {
    name: 'ranks differ',
    files: { 'adapter_model.safetensors': named([A, [2, 3]], [B, [4, 3]]) },
    code: misfit,
    says: [B, 'rank 3', 'rank 2'],
  },
  {
    name: 'rank not as configured',
    files: { 'adapter_model.safetensors': named([A, [4, 3]], [B, [4, 4]]) },
    code: misfit,
    says: [A, 'rank 4', 'says 2'],
  },
  {
    name: 'a convolution',
    files: { 'adapter_model.safetensors': named([A, [2, 3, 1, 1]], [B, [4, 2]]) },
    code: misfit,
    says: [A, '[2, 3, 1, 1]'],
  },
  {
    name: 'integers',
    files: { 'adapter_model.safetensors': named([A, [2, 3], 'I64'], [B, [4, 2]]) },
    code: misfit,
    says: [A, 'I64'],
  },
  {
    name: 'foreign names',
    files: {
      'adapter_model.safetensors': named([A, [2, 3]], [B, [4, 2]], ['model.x.lora_A.weight', [1, 1]]),
    },
    code: misfit,
    says: ['"model.x.lora_A.weight"'],
  },
  {
    name: 'the same tensor twice',
    files: {
      'adapter_model.safetensors': named(
        [A, [2, 3]],
        [A.replace('lora_A', 'lora_A.default'), [2, 3]],
        [B, [4, 2]],
      ),
    },
    code: misfit,
    says: ['are the same tensor'],
  },
  {
    name: 'nothing adapted',
    files: { 'adapter_model.safetensors': named([tensorName('lm_head', 'weight'), [2, 2]]) },
    code: misfit,
    says: ['no LORA tensor'],
  },
  {
    name: 'DoRA without magnitudes',
    files: {
      'adapter_config.json': config({ use_dora: true }),
      'adapter_model.safetensors': named([A, [2, 3]], [B, [4, 2]]),
    },
    code: misfit,
    says: ['lora_magnitude_vector'],
  },
  {
    name: 'magnitudes without DoRA',
    files: {
      'adapter_model.safetensors': named(
        [A, [2, 3]],
        [B, [4, 2]],
        [tensorName(q, 'lora_magnitude_vector'), [4]],
      ),
    },
    code: misfit,
    says: ['use_dora is false'],
  },
];
for (const { name, files, at = '', code, says } of badFolders) {
  test(`adapter folder: ${name}`, async (t) => {
    const whole = code === misfit ? { 'adapter_config.json': config(), ...files } : files;
    const folder = await scratch(t, whole);
    await fails(() => readAdapterFolder(join(folder, at)), {
      class: AdapterError,
      code,
      says: [folder, ...says],
    });
    assert.deepEqual(await tree(folder), Object.keys(whole).sort());
  });
}
