// Merging against PEFT: for every adapter of the goldens, the merged folder's logits are those of merge_and_unload within
// 1e-5 (within the element type's rounding for 16-bit bases), and those of base and adapter apart.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { merge } from '../../src/engine/api/merge';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { readRaw, readTensor } from '../../src/engine/checkpoint/safetensors';
import { AdapterError, RunError } from '../../src/engine/errors';
import { modelFromConfig } from '../../src/engine/models/registry';
import type { EngineHost, MergeResult } from '../../src/protocol/trainer';
import { caseNames, goldenCase, largestDifference, logitsOf } from './adapterGoldens';
import { contractDevice, contractRuntime } from './contractRuntime';
import { writeRandomAdapter } from './randomAdapter';

const host: EngineHost = {
  emit: () => {},
  stopRequested: false,
  cancelRequested: false,
  takeCheckpointRequest: () => false,
};
let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'workbench-merge-'));
});
after(() => rm(scratch, { recursive: true, force: true }));

const modelOf = async (folder: string) => modelFromConfig((await openCheckpoint(folder)).config);
const mergeInto = (model: string, adapter: string, out: string): Promise<MergeResult> =>
  merge({ model, adapter, out, device: contractDevice, threads: 1 }, host);

for (const name of caseNames) {
  test(`${name}: merged logits are PEFT's`, async () => {
    const golden = await goldenCase(name);
    const out = join(scratch, name);
    const result = await mergeInto(golden.base, golden.adapter, out);
    assert.ok(result.verified, `not verified: ${result.maxLogitDifference}`);
    assert.ok(result.mergedModules > 0);

    const base = await openCheckpoint(golden.base);
    const merged = await openCheckpoint(out);
    assert.deepEqual(
      new Set([...merged.tensors.values()].map((t) => t.dtype)),
      new Set([...base.tensors.values()].map((t) => t.dtype)),
    );
    const runtime = contractRuntime();
    try {
      const ours = await logitsOf(runtime, out, golden);
      const rounded = [...base.tensors.values()].some((tensor) => tensor.dtype !== 'F32');
      const tolerance = rounded ? 5e-2 : 2e-5;
      const worst = largestDifference(golden, ours, golden.logits);
      assert.ok(worst < tolerance, `differs from the unmerged model by ${worst}`);
      if (golden.mergedLogits) {
        const fromPeft = largestDifference(golden, ours, golden.mergedLogits);
        assert.ok(fromPeft < (rounded ? 5e-2 : 1e-5), `differs from PEFT's merge by ${fromPeft}`);
      }
    } finally {
      await runtime.close();
    }
  });
}

test('tensors that no module changes keep their bytes, shards and index their names', async () => {
  const base = join('test', 'goldens', 'models', 'llama-bf16-sharded');
  const adapter = join(scratch, 'sharded-adapter');
  await writeRandomAdapter(adapter, await modelOf(base), { target_modules: ['q_proj', 'v_proj'] }, 0.1);
  const out = join(scratch, 'sharded');
  const result = await mergeInto(base, adapter, out);
  assert.ok(result.verified, String(result.maxLogitDifference));
  assert.deepEqual(
    readdirSync(out).sort(),
    readdirSync(base)
      .filter((n) => !/expected|older/.test(n))
      .sort(),
  );
  const [before, after] = [await openCheckpoint(base), await openCheckpoint(out)];
  assert.deepEqual([...after.tensors.keys()].sort(), [...before.tensors.keys()].sort());
  let changed = 0;
  for (const [name, ref] of before.tensors) {
    const same = Buffer.from(await readRaw(ref)).equals(await readRaw(after.tensors.get(name)!));
    assert.equal(same, !/\.(q_proj|v_proj)\.weight$/.test(name), name);
    if (!same) changed++;
  }
  assert.equal(changed, result.mergedModules);
});

test('an update of a tied embedding unties the head', async () => {
  const golden = await goldenCase('llama-tied-embedding');
  const out = join(scratch, 'untied');
  await mergeInto(golden.base, golden.adapter, out);
  const config = JSON.parse(readFileSync(join(out, 'config.json'), 'utf8')) as Record<string, unknown>;
  assert.equal(config.tie_word_embeddings, false);
  const [base, merged] = [await openCheckpoint(golden.base), await openCheckpoint(out)];
  const embedding = await readTensor(base.tensors.get('model.embed_tokens.weight')!);
  assert.deepEqual(await readTensor(merged.tensors.get('lm_head.weight')!), embedding);
  assert.notDeepEqual(await readTensor(merged.tensors.get('model.embed_tokens.weight')!), embedding);
});

test('an occupied folder is refused and stays as it is; an empty one is taken', async () => {
  const golden = await goldenCase('llama-qv');
  const out = join(scratch, 'occupied');
  await mkdir(out);
  await writeFile(join(out, 'mine.txt'), 'mine');
  await assert.rejects(mergeInto(golden.base, golden.adapter, out), (error: unknown) => {
    assert.ok(
      error instanceof RunError && error.code === 'merge-out-occupied' && error.message.includes(out),
    );
    return true;
  });
  assert.deepEqual(readdirSync(out), ['mine.txt']);
  await rm(join(out, 'mine.txt'));
  assert.ok((await mergeInto(golden.base, golden.adapter, out)).verified);
});

test('lora_bias on a module without bias is refused with the module', async () => {
  const base = join('test', 'goldens', 'models', 'llama-plain');
  const adapter = join(scratch, 'bias-adapter');
  const given = { target_modules: ['q_proj'], settings: { lora_bias: true } };
  await writeRandomAdapter(adapter, await modelOf(base), given, 0.1);
  const out = join(scratch, 'bias');
  await assert.rejects(mergeInto(base, adapter, out), (error: unknown) => {
    assert.ok(error instanceof AdapterError && error.code === 'adapter-not-mergeable', String(error));
    assert.match(error.message, /model\.layers\.0\.self_attn\.q_proj: has no bias/);
    return true;
  });
  assert.ok(!existsSync(out));
});

test('a merged value that F16 cannot hold is refused and nothing is left', async () => {
  const base = join('test', 'goldens', 'models', 'llama-f16');
  const adapter = join(scratch, 'huge-adapter');
  await writeRandomAdapter(adapter, await modelOf(base), {}, 1e3);
  const out = join(scratch, 'huge');
  await assert.rejects(mergeInto(base, adapter, out), (error: unknown) => {
    assert.ok(error instanceof AdapterError && error.code === 'merge-not-finite', String(error));
    return true;
  });
  assert.deepEqual(
    readdirSync(scratch).filter((name) => name.includes('huge')),
    ['huge-adapter'],
  );
});
