// adapter_config.json: as PEFT writes it, of any age, and each that is refused with what is wrong.
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
import { AdapterError } from '../../../src/engine/errors';
import { type ExpectedFailure, fails, scratch, sharedData, tree } from '../files/scratch';
import { config, weights } from './smallAdapter';

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
