// convert, resize and diff on adapters of the sample model: the update stays, or differs by as much as is said.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type TestContext, test } from 'node:test';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { peftConfig } from '../../../src/engine/adapters/peftConfig';
import { writeAdapterFolder } from '../../../src/engine/adapters/peftWriting';
import { tensorsOfSite } from '../../../src/engine/adapters/plan';
import { convert } from '../../../src/engine/api/convert';
import { diff } from '../../../src/engine/api/diff';
import { resize } from '../../../src/engine/api/resize';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';
import type { EngineHost } from '../../../src/protocol/trainer';

const model = resolve('samples/base');
const host: EngineHost = {
  emit: () => undefined,
  stopRequested: false,
  cancelRequested: false,
  takeCheckpointRequest: () => false,
};

function scratch(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'derived-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

async function sites(pattern: RegExp) {
  const { config } = await openCheckpoint(model);
  return modelFromConfig(config).modules.flatMap((module) =>
    module.kind === 'linear' && pattern.test(module.path) ? [module] : [],
  );
}

interface Made {
  r: number;
  seed: number;
  more?: object;
  /** Direction k of B shrinks by decay^k. */
  decay?: number;
}

async function write(folder: string, { r, seed, more = {}, decay = 1 }: Made): Promise<string> {
  const random = new Random(seed, 'test');
  const draw = (count: number): Float32Array => Float32Array.from({ length: count }, () => random.normal());
  const tensors = (await sites(/layers\.[01]\.self_attn\.[qv]_proj$/)).flatMap(
    ({ path, inFeatures, outFeatures }) => [
      { name: `base_model.model.${path}.lora_A.weight`, shape: [r, inFeatures], data: draw(r * inFeatures) },
      {
        name: `base_model.model.${path}.lora_B.weight`,
        shape: [outFeatures, r],
        data: draw(outFeatures * r).map((value, i) => 0.01 * value * decay ** (i % r)),
      },
    ],
  );
  await writeAdapterFolder(folder, {
    config: peftConfig('LORA', {
      base_model_name_or_path: model,
      task_type: 'CAUSAL_LM',
      r,
      lora_alpha: 2 * r,
      target_modules: ['q_proj', 'v_proj'],
      layers_to_transform: [0, 1],
      ...more,
    }),
    tensors,
  });
  return folder;
}

/** ΔW of every module, whole. */
async function deltas(folder: string): Promise<Map<string, Float64Array>> {
  const { config } = await openCheckpoint(model);
  const { plan, values } = await loadAdapter(folder, modelFromConfig(config));
  return new Map(
    [...plan.sites.values()].map((site) => {
      const { a, b, rank } = plan.variant.loraForm!(site, tensorsOfSite(values, site), plan.settings);
      const out = new Float64Array(site.outFeatures * site.inFeatures);
      for (let i = 0; i < site.outFeatures; i++)
        for (let k = 0; k < rank; k++)
          for (let j = 0; j < site.inFeatures; j++)
            out[i * site.inFeatures + j]! += b[i * rank + k]! * a[k * site.inFeatures + j]!;
      return [site.path, out] as const;
    }),
  );
}

const norm = (x: Float64Array): number => Math.sqrt(x.reduce((sum, value) => sum + value * value, 0));

/** ‖ΔW − ΔW′‖ / ‖ΔW‖ by module. */
async function distances(one: string, other: string): Promise<Map<string, number>> {
  const [before, after] = [await deltas(one), await deltas(other)];
  assert.deepEqual([...after.keys()].sort(), [...before.keys()].sort());
  return new Map(
    [...before].map(([path, x]) => {
      const y = after.get(path)!;
      return [path, norm(x.map((value, i) => value - y[i]!)) / norm(x)];
    }),
  );
}

const configOf = (folder: string) => JSON.parse(readFileSync(join(folder, 'adapter_config.json'), 'utf8'));

test('rsLoRA and back is the same update', async (t) => {
  const folder = scratch(t);
  const start = await write(join(folder, 'start'), { r: 5, seed: 1 });
  const out = join(folder, 'new/rs');
  const result = await convert({ model, adapter: start, type: 'rslora', out });
  assert.deepEqual([result.from, result.modules], ['lora', 4]);
  assert.equal(configOf(out).use_rslora, true);
  for (const [path, error] of await distances(start, out)) assert.ok(error < 1e-6, `${path}: ${error}`);
  const back = join(folder, 'back');
  await convert({ model, adapter: out, type: 'lora', out: back });
  assert.equal(configOf(back).use_rslora, false);
  for (const [path, error] of await distances(start, back)) assert.ok(error < 1e-6, `${path}: ${error}`);
});

test('an adapter that depends on the base weights is refused', async (t) => {
  const folder = scratch(t);
  const start = await write(join(folder, 'start'), { r: 2, seed: 1 });
  const [first] = await sites(/layers\.0\.self_attn\.q_proj$/);
  await writeAdapterFolder(join(folder, 'dora'), {
    config: peftConfig('LORA', {
      base_model_name_or_path: model,
      task_type: 'CAUSAL_LM',
      r: 2,
      lora_alpha: 2,
      use_dora: true,
      target_modules: [first!.path],
    }),
    tensors: [
      {
        name: `base_model.model.${first!.path}.lora_A.weight`,
        shape: [2, first!.inFeatures],
        data: new Float32Array(2 * first!.inFeatures),
      },
      {
        name: `base_model.model.${first!.path}.lora_B.weight`,
        shape: [first!.outFeatures, 2],
        data: new Float32Array(2 * first!.outFeatures),
      },
      {
        name: `base_model.model.${first!.path}.lora_magnitude_vector`,
        shape: [first!.outFeatures],
        data: new Float32Array(first!.outFeatures).fill(1),
      },
    ],
  });
  assert.ok(start);
  const dora = join(folder, 'dora');
  const out = join(folder, 'out');
  await assert.rejects(convert({ model, adapter: dora, type: 'lora', out }), /is a dora adapter/);
  await assert.rejects(
    resize({ model, adapter: dora, out, rank: 1, energy: null, seed: 1 }, host),
    /is a dora adapter/,
  );
});

test('a smaller rank is the closest update, and its error is what is said', async (t) => {
  const folder = scratch(t);
  const start = await write(join(folder, 'start'), { r: 8, seed: 2, decay: 0.6 });
  const out = join(folder, 'out');
  const result = await resize({ model, adapter: start, out, rank: 3, energy: null, seed: 1 }, host);
  assert.equal(configOf(out).r, 3);
  const found = await distances(start, out);
  for (const { path, rank, rankBefore, relativeError } of result.modules) {
    assert.deepEqual([rank, rankBefore], [3, 8]);
    assert.ok(relativeError > 0.01 && relativeError < 0.5, `${relativeError}`);
    assert.ok(
      Math.abs(found.get(path)! - relativeError) < 1e-5,
      `${path}: ${found.get(path)} is not ${relativeError}`,
    );
  }
  // Cutting directions off B as they come is never closer.
  assert.ok(result.relativeError > 0 && result.relativeError < 0.6 ** 3);
});

test('the same rank changes nothing, and neither does a larger one', async (t) => {
  const folder = scratch(t);
  const start = await write(join(folder, 'start'), { r: 4, seed: 3 });
  for (const rank of [4, 9]) {
    const out = join(folder, `r${rank}`);
    const { relativeError } = await resize({ model, adapter: start, out, rank, energy: null, seed: 1 }, host);
    assert.ok(relativeError < 1e-7);
    for (const [path, error] of await distances(start, out)) assert.ok(error < 1e-5, `${path}: ${error}`);
    assert.equal(configOf(out).r, rank);
  }
});

test('a share of the energy gives each module the least rank that keeps it', async (t) => {
  const folder = scratch(t);
  const start = await write(join(folder, 'start'), { r: 8, seed: 4, decay: 0.5 });
  const out = join(folder, 'out');
  const { modules } = await resize({ model, adapter: start, out, rank: null, energy: 0.97, seed: 1 }, host);
  for (const { path, rank, relativeError } of modules) {
    assert.ok(relativeError ** 2 <= 0.03, `${path}: ${relativeError}`);
    assert.ok(rank < 8);
  }
  for (const [path, error] of await distances(start, out))
    assert.ok(error ** 2 < 0.0301, `${path}: ${error}`);
});

test('an adapter is like itself, and hardly like one of other numbers', async (t) => {
  const folder = scratch(t);
  const one = await write(join(folder, 'one'), { r: 4, seed: 5 });
  const other = await write(join(folder, 'other'), { r: 6, seed: 6, more: { lora_dropout: 0.1 } });
  const { adapters, settings, modules } = await diff({ adapters: [one, one, other] }, host);
  assert.deepEqual(
    adapters.map(({ modules: count }) => count),
    [4, 4, 4],
  );
  const keys = settings.map(({ key }) => key);
  assert.ok(
    keys.includes('r') && keys.includes('lora_dropout') && !keys.includes('target_modules'),
    String(keys),
  );
  const norms = await deltas(one);
  for (const { path, norms: found, pairs, ranks } of modules) {
    assert.deepEqual(ranks, [4, 4, 6]);
    assert.ok(Math.abs(found[0]! - norm(norms.get(path)!)) < 1e-4 * found[0]!);
    const [same, far] = pairs;
    for (const value of [same!.cosine, same!.a, same!.b]) assert.ok(Math.abs(value! - 1) < 1e-6, `${value}`);
    assert.deepEqual([far!.first, far!.second], [0, 2]);
    assert.ok(Math.abs(far!.cosine!) < 0.2, `${far!.cosine}`);
    // Random subspaces of 4 and 6 dimensions among 128 overlap by about 6/128.
    assert.ok(far!.a! > 0 && far!.a! < 0.2, `${far!.a}`);
  }
});

test('a subspace within another one overlaps it whole', async (t) => {
  const folder = scratch(t);
  const one = await write(join(folder, 'one'), { r: 6, seed: 7, decay: 0.7 });
  const out = join(folder, 'out');
  await resize({ model, adapter: one, out, rank: 2, energy: null, seed: 1 }, host);
  const { modules } = await diff({ adapters: [one, out] }, host);
  for (const { pairs } of modules) {
    assert.ok(Math.abs(pairs[0]!.a! - 1) < 1e-4, `${pairs[0]!.a}`);
    assert.ok(Math.abs(pairs[0]!.b! - 1) < 1e-4, `${pairs[0]!.b}`);
  }
});

test('one adapter cannot be compared', async () => {
  await assert.rejects(diff({ adapters: ['nowhere'] }, host), /takes two adapters or more/);
});
