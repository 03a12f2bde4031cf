// An adapter's files against a model: what fits is loaded, and everything that does not is named at once.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import type { LoraConfig } from '../../../src/engine/adapters/peftConfig';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { writeAdapterFolder } from '../../../src/engine/adapters/peftWriting';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { AdapterError } from '../../../src/engine/errors';
import { modelFromConfig } from '../../../src/engine/models/registry';

const scratch = mkdtemp(join(tmpdir(), 'loaded-'));
after(async () => rm(await scratch, { recursive: true, force: true }));
const goldens = join('test', 'goldens');

async function modelOf(name: string) {
  return modelFromConfig((await openCheckpoint(join(goldens, 'models', name))).config);
}

type Tensors = Record<string, { shape: number[]; data: Float32Array }>;

/** A copy of a golden adapter with changed tensors or settings. */
async function altered(
  name: string,
  change: (tensors: Tensors) => void,
  settings: Partial<LoraConfig> = {},
): Promise<string> {
  const file = await readAdapterFolder(join(goldens, 'adapters', name, 'adapter'));
  const tensors: Tensors = {};
  for (const { name: key, shape, read } of file.tensors.values())
    tensors[key] = { shape: [...shape], data: await read() };
  change(tensors);
  const folder = await mkdtemp(join(await scratch, 'adapter-'));
  await writeAdapterFolder(folder, {
    config: { ...file.config, ...settings } as LoraConfig,
    tensors: Object.entries(tensors).map(([key, tensor]) => ({ name: key, ...tensor })),
  });
  return folder;
}

const layer = 'base_model.model.model.layers.0.self_attn';

test('missing, misshapen, surplus and broken tensors are listed together', async () => {
  const model = await modelOf('llama-plain');
  const folder = await altered('llama-qv', (tensors) => {
    delete tensors[`${layer}.q_proj.lora_A.weight`];
    delete tensors[`${layer}.q_proj.lora_B.weight`];
    tensors[`${layer}.v_proj.lora_A.weight`] = { shape: [4, 16], data: new Float32Array(64) };
    tensors[`${layer}.k_proj.lora_A.weight`] = { shape: [4, 32], data: new Float32Array(128) };
    tensors[`${layer}.k_proj.lora_B.weight`] = { shape: [32, 4], data: new Float32Array(128) };
    tensors[`${layer.replace('.0.', '.1.')}.v_proj.lora_B.weight`]!.data[5] = Number.NaN;
    tensors['base_model.model.lm_head.weight'] = { shape: [1], data: new Float32Array(1) };
  });
  await assert.rejects(loadAdapter(folder, model), (error: unknown) => {
    assert.ok(error instanceof AdapterError);
    assert.equal(error.code, 'adapter-does-not-fit');
    const found = Object.fromEntries(
      error.problems.map(({ where, message }) => [JSON.parse(where), message]),
    );
    assert.deepEqual(Object.keys(found).length, 7);
    assert.match(found[`${layer}.q_proj.lora_A.weight`]!, /is missing; expected \[4, 32\]/);
    assert.match(found[`${layer}.q_proj.lora_B.weight`]!, /is missing/);
    assert.match(found[`${layer}.v_proj.lora_A.weight`]!, /has shape \[4, 16\]; the model needs \[4, 32\]/);
    assert.match(found[`${layer}.k_proj.lora_A.weight`]!, /belongs to no module/);
    assert.match(found['base_model.model.lm_head.weight']!, /belongs to no module/);
    assert.match(
      found[`${layer.replace('.0.', '.1.')}.v_proj.lora_B.weight`]!,
      /1 NaN and 0 infinite values, the first at element 5/,
    );
    return true;
  });
});

test('an adapter of another model does not fit', async () => {
  const path = join(goldens, 'adapters', 'llama-qv', 'adapter');
  await assert.rejects(loadAdapter(path, await modelOf('llama-gqa-tied')), { code: 'adapter-does-not-fit' });
  await assert.rejects(loadAdapter(path, await modelOf('gpt2')), AdapterError);
});

test('the frozen embedding that PEFT stores beside a targeted one is passed over where it has the shape', async () => {
  const model = await modelOf('llama-plain');
  const name = 'base_model.model.model.embed_tokens.base_layer.weight';
  const adapter = await loadAdapter(join(goldens, 'adapters', 'llama-embedding', 'adapter'), model);
  assert.ok(![...adapter.values.keys()].some((key) => key.includes('base_layer')));
  const folder = await altered('llama-embedding', (tensors) => {
    tensors[name] = { shape: [102, 32], data: new Float32Array(102 * 32) };
  });
  await assert.rejects(loadAdapter(folder, model), /has shape \[102, 32\]; the model needs \[101, 32\]/);
});

test('biases that PEFT lost are the base model’s, with a warning; half of them missing is a mistake', async () => {
  const model = await modelOf('gpt2');
  const lost = await loadAdapter(join(goldens, 'adapters', 'gpt2-bias-lora-only-lost', 'adapter'), model);
  assert.match(lost.warnings.join(), /holds no biases/);
  assert.equal(lost.plan.replaced.size, 0);
  assert.ok(lost.plan.tensors.every(({ name }) => lost.values.has(name)));
  const kept = await loadAdapter(join(goldens, 'adapters', 'gpt2-bias-lora-only', 'adapter'), model);
  assert.deepEqual(kept.warnings, []);
  assert.equal(kept.plan.replaced.size, 6);
  const bias = 'base_model.model.transformer.h.0.attn.c_attn.base_layer.bias';
  const half = await altered('gpt2-bias-lora-only', (tensors) => {
    delete tensors[bias];
  });
  await assert.rejects(loadAdapter(half, model), /c_attn\.base_layer\.bias": is missing/);
  // Before PEFT wrapped modules, a bias stood under the module's own name.
  const older = await altered('gpt2-bias-lora-only', (tensors) => {
    tensors[bias.replace('.base_layer', '')] = tensors[bias]!;
    delete tensors[bias];
  });
  assert.deepEqual((await loadAdapter(older, model)).values, kept.values);
});

test('settings that name no module are warned of', async () => {
  const model = await modelOf('llama-plain');
  const folder = await altered('llama-qv', () => undefined, {
    target_modules: ['q_proj', 'v_proj', 'w_proj'],
  });
  assert.match((await loadAdapter(folder, model)).warnings.join(), /target_modules has "w_proj"/);
});
