// The base's fingerprint: same weights in other files agree, changed ones do not; adapters written here carry it.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type TestContext, test } from 'node:test';
import { peftConfig } from '../../../src/engine/adapters/peftConfig';
import { writeAdapterFolder } from '../../../src/engine/adapters/peftWriting';
import { fingerprintIn, fingerprintOfBase, matchOfBase } from '../../../src/engine/checkpoint/fingerprint';
import { readSafetensors, readTensor, writeSafetensors } from '../../../src/engine/checkpoint/safetensors';
import { inspectAdapter } from '../../../src/engine/inspect/adapter';

const sample = resolve('samples/base');

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'fingerprint-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function writeAdapter(folder: string, base: string | null): Promise<string> {
  const path = 'base_model.model.model.layers.0.self_attn.q_proj';
  await writeAdapterFolder(folder, {
    config: peftConfig('LORA', {
      base_model_name_or_path: base,
      task_type: 'CAUSAL_LM',
      r: 2,
      lora_alpha: 4,
      target_modules: ['q_proj'],
    }),
    tensors: [
      { name: `${path}.lora_A.weight`, shape: [2, 64], data: new Float32Array(128).fill(0.1) },
      { name: `${path}.lora_B.weight`, shape: [64, 2], data: new Float32Array(128).fill(0.2) },
    ],
  });
  return join(folder, 'adapter_model.safetensors');
}

test('an adapter carries the fingerprint of its base, beside what PEFT reads', async (t) => {
  const file = await writeAdapter(join(scratch(t), 'adapter'), sample);
  const told = await fingerprintIn(file);
  assert.match(told ?? '', /^sha256:[0-9a-f]{64}$/);
  assert.equal(told, await fingerprintOfBase(sample));
  assert.equal((await readSafetensors(file)).metadata.format, 'pt');
  const config = JSON.parse(readFileSync(join(file, '..', 'adapter_config.json'), 'utf8'));
  assert.ok(!('base_model_fingerprint' in config), 'PEFT warns of keys that it does not know');
  assert.equal(await matchOfBase(file, sample), 'match');
  assert.equal((await inspectAdapter(join(file, '..'))).facts.base_fingerprint, 'match');
});

test('another base is told, and inspecting says so', async (t) => {
  const folder = scratch(t);
  const base = join(folder, 'base');
  cpSync(sample, base, { recursive: true });
  const file = await writeAdapter(join(folder, 'adapter'), base);
  assert.equal(await matchOfBase(file, base), 'match');
  const weights = join(base, 'model.safetensors');
  const { tensors, metadata } = await readSafetensors(weights);
  const values = [];
  for (const ref of tensors.values())
    values.push({ name: ref.name, dtype: 'F32' as const, shape: ref.shape, data: await readTensor(ref) });
  // The same weights in another order of bytes are the same base.
  await writeSafetensors(weights, values, { ...metadata, note: 'x'.repeat(1000) });
  const again = await fingerprintOfBase(base);
  values.find(({ name }) => name === 'model.norm.weight')!.data[3]! += 1;
  await writeSafetensors(weights, values, metadata);
  assert.notEqual(await fingerprintOfBase(base), again);
  assert.equal(await matchOfBase(file, base), 'mismatch');
  const { facts, problems } = await inspectAdapter(join(folder, 'adapter'));
  assert.equal(facts.base_fingerprint, 'mismatch');
  assert.ok(problems.some(({ message }) => /other weights/.test(message)));
});

test('what cannot be told is unknown: no base here, no fingerprint in the file, a made-up one', async (t) => {
  const folder = scratch(t);
  const file = await writeAdapter(join(folder, 'a'), 'somebody/not-here');
  assert.equal(await fingerprintIn(file), undefined);
  assert.equal(await matchOfBase(file, sample), 'unknown');
  assert.equal(await matchOfBase(await writeAdapter(join(folder, 'b'), sample), null), 'unknown');
  const own = join(folder, 'own.safetensors');
  await writeSafetensors(own, [], { base_model_fingerprint: 'sha256:../../etc' });
  assert.equal(await fingerprintIn(own), undefined);
});
