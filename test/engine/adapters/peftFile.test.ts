import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  checkLora,
  loraConfig,
  parsePeftConfig,
  writePeftConfig,
} from '../../../src/engine/adapters/peftConfig';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { normalName, parseName, tensorName } from '../../../src/engine/adapters/peftNames';
import { type AdapterToWrite, writeAdapterFolder } from '../../../src/engine/adapters/peftWriting';
import { readSafetensors, writeSafetensors } from '../../../src/engine/checkpoint/safetensors';
import { AdapterError, RunError } from '../../../src/engine/errors';
import {
  type ExpectedFailure,
  fails,
  fillFolder,
  rawSafetensors,
  scratch,
  sharedData,
  tree,
} from '../files/scratch';

const q = 'model.layers.0.self_attn.q_proj';
const values = (n: number, from = 0) => Float32Array.from({ length: n }, (_, i) => Math.sin(i + from));

function adapter(more: Partial<AdapterToWrite> = {}): AdapterToWrite {
  return {
    config: loraConfig({
      r: 2,
      lora_alpha: 4.5,
      target_modules: ['q_proj'],
      task_type: 'CAUSAL_LM',
      base_model_name_or_path: 'org/base',
      modules_to_save: ['norm'],
    }),
    tensors: [
      { name: tensorName(q, 'lora_A.weight'), shape: [2, 3], data: values(6) },
      { name: tensorName(q, 'lora_B.weight'), shape: [4, 2], data: async () => values(8, 6) },
      { name: tensorName('model.norm', 'weight'), shape: [3], data: values(3, 14) },
    ],
    ...more,
  };
}

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

test('the config is written as PEFT writes it', async () => {
  const text = writePeftConfig(loraConfig({ target_modules: ['v_proj'], rank_pattern: { b: 1, a: 2 } }), {
    extra: null,
  });
  const json = JSON.parse(text);
  const keys = Object.keys(json);
  assert.deepEqual(keys, [...keys].sort());
  assert.equal(keys.length, 33, 'the 32 keys of 0.17, and the unknown one');
  assert.equal(json.inference_mode, true);
  assert.equal(json.megatron_core, 'megatron.core');
  assert.deepEqual(Object.keys(json.rank_pattern), ['a', 'b']);
  assert.ok(text.includes('\n  "alpha_pattern": {},\n'));
  assert.ok(!keys.includes('peft_version'));
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

test('minimal, old and new configs are read', () => {
  const minimal = parsePeftConfig({ peft_type: 'LORA', target_modules: ['q_proj'] });
  assert.deepEqual(minimal.config, loraConfig({ target_modules: ['q_proj'] }));
  const { config, unknownKeys, warnings } = parsePeftConfig({
    peft_type: 'LORA',
    peft_version: '0.20.0',
    target_modules: '.*q_proj',
    lora_alpha: 16.5,
    rank_pattern: null,
    arrow_config: null,
    use_bdlora: null,
    ensure_weight_tying: false,
    base_model_name_or_path: '',
    merge_weights: false,
    lora_aplha: 3,
  });
  assert.ok(config.peft_type === 'LORA');
  assert.equal(config.lora_alpha, 16.5);
  assert.deepEqual(config.rank_pattern, {});
  assert.deepEqual(unknownKeys, { merge_weights: false, lora_aplha: 3 });
  assert.match(warnings.join(), /"lora_aplha" is unknown and has no effect; did you mean lora_alpha\?/);
});

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

const a32 = { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] };
const b32 = { dtype: 'F32', shape: [4, 2], data_offsets: [24, 56] };
const header = {
  [`base_model.model.${q}.lora_A.default.weight`]: a32,
  [`base_model.model.${q}.lora_B.default.weight`]: b32,
};
const config = (more: object = {}) =>
  JSON.stringify({ peft_type: 'LORA', r: 2, target_modules: ['q_proj'], ...more });
const weights = rawSafetensors(header, 56);

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

const invalid = 'adapter-config-invalid';
const feature = 'adapter-feature-unsupported';
const badConfigs: { name: string; json: string; code?: string; says: ExpectedFailure['says'] }[] = [
  { name: 'no peft_type', json: '{"r": 8}', says: ['peft_type is nothing'] },
  {
    name: 'another type',
    json: '{"peft_type": "IA3"}',
    code: 'adapter-type-unsupported',
    says: ['"IA3"', 'LORA'],
  },
  {
    name: 'MLX',
    json: '{"fine_tune_type": "lora", "lora_parameters": {}}',
    code: 'adapter-format-unsupported',
    says: ['MLX'],
  },
  { name: 'broken JSON', json: '{"peft_type": "LORA",}', code: 'adapter-config-broken', says: ['line 1'] },
  { name: 'rank zero', json: config({ r: 0 }), says: ['r: is the number 0', 'positive'] },
  { name: 'rank as text', json: config({ r: '8' }), says: ['r: is the string "8"'] },
  {
    name: 'dropout too large',
    json: config({ lora_dropout: 1.5 }),
    says: ['lora_dropout', '1.5', 'from 0 to 1'],
  },
  { name: 'dropout negative', json: config({ lora_dropout: -0.1 }), says: ['lora_dropout', '-0.1'] },
  { name: 'bias', json: config({ bias: 'foo' }), says: ['bias', '"foo"', 'lora_only'] },
  {
    name: 'initialisation',
    json: config({ init_lora_weights: 'foo' }),
    says: ['init_lora_weights', '"foo"', 'gaussian'],
  },
  { name: 'task type', json: config({ task_type: 'FOO' }), says: ['task_type', '"FOO"', 'CAUSAL_LM'] },
  { name: 'targets of numbers', json: config({ target_modules: [1] }), says: ['target_modules', '[1]'] },
  { name: 'no targets', json: config({ target_modules: [] }), says: ['target_modules', 'empty'] },
  {
    name: 'rank pattern',
    json: config({ rank_pattern: { q_proj: 0 } }),
    says: ['rank_pattern', '"q_proj":0'],
  },
  {
    name: 'layers_pattern alone',
    json: config({ layers_pattern: ['h'] }),
    says: ['layers_pattern', 'layers_to_transform'],
  },
  {
    name: 'regex and layers',
    json: config({ target_modules: 'x', layers_to_transform: 1 }),
    says: ['layers_to_transform'],
  },
  {
    name: 'bias and DoRA',
    json: config({ lora_bias: true, use_dora: true }),
    says: ['lora_bias', 'use_dora'],
  },
  {
    name: 'bias and gaussian',
    json: config({ lora_bias: true, init_lora_weights: 'gaussian' }),
    says: ['lora_bias', 'gaussian'],
  },
  {
    name: 'orthogonal and odd',
    json: config({ r: 3, init_lora_weights: 'orthogonal' }),
    says: ['orthogonal', '3'],
  },
  {
    name: 'several at once',
    json: config({ r: -1, bias: 1, use_dora: 'yes', use_qalora: true }),
    says: ['r:', 'bias:', 'use_dora:', 'use_qalora:'],
  },
  ...['lora_ga', 'mica'].map((init) => ({
    name: init,
    json: config({ init_lora_weights: init }),
    code: feature,
    says: [`"${init}"`],
  })),
  ...Object.entries({
    kasa_config: { beta: 1 },
    use_bdlora: { nblocks: 2 },
    arrow_config: { top_k: 1 },
    alora_invocation_tokens: [1],
    velora_config: { a: 1 },
    monteclora_config: { a: 1 },
    lora_ga_config: { a: 1 },
    layer_replication: [[0, 1]],
    target_parameters: ['x'],
    megatron_config: { a: 1 },
    use_qalora: true,
    trainable_token_indices: [5],
    enable_lora: [true, false, true],
  }).map(([key, value]) => ({ name: key, json: config({ [key]: value }), code: feature, says: [key] })),
];
for (const { name, json, code = invalid, says } of badConfigs) {
  test(`adapter config: ${name}`, async (t) => {
    const folder = await scratch(t, { 'adapter_config.json': json, 'adapter_model.safetensors': weights });
    await fails(() => readAdapterFolder(folder), {
      class: AdapterError,
      code,
      says: [join(folder, 'adapter_config.json'), ...says],
    });
  });
}

test('the same checks serve settings that come from a recipe', () => {
  assert.deepEqual(checkLora(loraConfig({ target_modules: ['q_proj'] })), []);
  assert.equal(checkLora(loraConfig({ lora_bias: true, use_dora: true }))[0]?.where, 'lora_bias');
});

const misfit = 'adapter-tensors-invalid';
const A = tensorName(q, 'lora_A.weight');
const B = tensorName(q, 'lora_B.weight');
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

test("the configs of PEFT's method comparison are read or refused by name", async (t) => {
  const configs = sharedData('peft-configs');
  if (!configs) return t.skip('no shared data');
  const paths = (await tree(configs)).filter((path) => path.endsWith('adapter_config.json'));
  assert.equal(paths.length, 103);
  let read = 0;
  for (const path of paths) {
    const json = JSON.parse(await readFile(join(configs, path), 'utf8'));
    const feature =
      ['kasa_config', 'use_bdlora'].find((key) => json[key]) ??
      (json.init_lora_weights === 'mica' ? 'mica' : undefined);
    if (!['LORA', 'ADALORA', 'VERA'].includes(json.peft_type)) {
      await fails(() => parsePeftConfig(json, path), {
        class: AdapterError,
        code: 'adapter-type-unsupported',
        says: [path, json.peft_type],
      });
    } else if (feature) {
      await fails(() => parsePeftConfig(json, path), {
        class: AdapterError,
        code: 'adapter-feature-unsupported',
        says: [path, feature],
      });
    } else {
      const { config: parsed } = parsePeftConfig(json, path);
      const written = JSON.parse(writePeftConfig(parsed));
      for (const key of Object.keys(json)) {
        // Of the other types some files hold later keys, switched off.
        const later = json.peft_type !== 'LORA' && (json[key] === null || !(key in written));
        if (key !== 'inference_mode' && !later) assert.deepEqual(written[key], json[key], `${path} ${key}`);
      }
      read++;
    }
  }
  assert.equal(read, 15);
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
