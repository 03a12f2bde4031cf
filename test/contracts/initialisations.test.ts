// Starts from base weights and data against PEFT's (goldens: test/reference/methods.py): scaled products and changed bases,
// and the curve of 50 steps from our own start. The sign of a singular direction is free; it cancels in the product, and Adam
// moves both signs alike.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { loadAdapter } from '../../src/engine/adapters/loaded';
import { loraScaling } from '../../src/engine/adapters/lora';
import { planAdapter } from '../../src/engine/adapters/plan';
import type { AdapterSettings } from '../../src/engine/adapters/settings';
import type { Site } from '../../src/engine/adapters/variant';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { readRaw, readSafetensors, readTensor } from '../../src/engine/checkpoint/safetensors';
import type { Batch } from '../../src/engine/data';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { modelFromConfig } from '../../src/engine/models/registry';
import { fromParts, packedParts, turned, unpackWeight } from '../../src/engine/quantization/packedWeight';
import { type PreparedStart, prepareStart } from '../../src/engine/train/start';
import { contractRuntime } from './contractRuntime';
import { methodGoldens, openGolden } from './goldenTraining';

const runtime = contractRuntime();
after(() => runtime.close());

interface Case {
  init: string;
  own?: AdapterSettings['settings'];
  /** Relative distance of products that is allowed. */
  tolerance?: number;
}

const cases: Record<string, Case> = {
  'llama-pissa': { init: 'pissa' },
  'llama-pissa-scaled': { init: 'pissa' },
  'gpt2-pissa': { init: 'pissa' },
  'llama-milora': { init: 'milora' },
  'gpt2-milora': { init: 'milora' },
  'llama-olora': { init: 'olora' },
  'gpt2-olora': { init: 'olora' },
  'llama-corda-ipm': {
    init: 'corda',
    own: { corda_method: 'ipm', calibration_samples: 12 },
    tolerance: 1e-3,
  },
  'llama-corda-kpm': {
    init: 'corda',
    own: { corda_method: 'kpm', calibration_samples: 12 },
    tolerance: 1e-3,
  },
  'gpt2-corda-ipm': { init: 'corda', own: { corda_method: 'ipm', calibration_samples: 12 }, tolerance: 1e-3 },
  'gpt2-corda-kpm': { init: 'corda', own: { corda_method: 'kpm', calibration_samples: 12 }, tolerance: 1e-3 },
  'llama-loftq': { init: 'loftq', own: { loftq_iter: 1 }, tolerance: 1e-4 },
  'gpt2-loftq': { init: 'loftq', own: { loftq_iter: 1 }, tolerance: 1e-4 },
};

/** Our start for the golden's settings, and the base that it left. */
async function ours(name: string, { init, own }: Omit<Case, 'tolerance'>) {
  const folder = join(methodGoldens, name);
  const { base } = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as { base: string };
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', base));
  const model = modelFromConfig(checkpoint.config);
  const golden = await loadAdapter(join(folder, 'initial_adapter'), model);
  const settings: AdapterSettings = {
    ...golden.plan.settings,
    init_lora_weights: init,
    settings: { ...golden.plan.settings.settings, ...own },
  };
  const batches = await calibrationOf(folder);
  const weights = BaseWeights.of(runtime, checkpoint, model);
  const prepare = (given: AdapterSettings): Promise<PreparedStart> =>
    prepareStart({
      runtime,
      model,
      weights,
      plan: planAdapter(model, given),
      planFor: (other) => planAdapter(model, other),
      seed: 1,
      packing: false,
      batches: () => batches,
      onProgress: () => {},
    });
  return { folder, model, golden, weights, settings, prepare };
}

async function calibrationOf(folder: string): Promise<Batch[]> {
  const { tensors } = await readSafetensors(join(folder, 'calibration.safetensors')).catch(() => ({
    tensors: new Map<string, never>(),
  }));
  if (!tensors.has('input_ids')) return [];
  const integers = async (key: string): Promise<number[]> =>
    Array.from(new BigInt64Array((await readRaw(tensors.get(key)!)).slice().buffer), Number);
  const shape = tensors.get('input_ids')!.shape as readonly number[];
  const [count, rows, length] = shape.length === 3 ? shape : [1, ...shape];
  const ids = await integers('input_ids');
  const labels = tensors.has('labels') ? await integers('labels') : ids;
  const lengths = tensors.has('lengths') ? await integers('lengths') : ids.map(() => length!);
  return Array.from({ length: count! }, (_, k) => {
    const size = rows! * length!;
    const part = (values: number[]) => Int32Array.from(values.slice(k * size, (k + 1) * size));
    const label = part(labels);
    const at = (i: number) => lengths[k * rows! + Math.floor(i / length!)]!;
    return {
      rows: rows!,
      length: length!,
      ids: part(ids),
      targets: label.map((_, i) => (i % length! === length! - 1 ? -100 : label[i + 1]!)),
      positions: label.map((_, i) => (i % length! < at(i) ? i % length! : 0)),
      segments: label.map((_, i) => (i % length! < at(i) ? 1 : 0)),
      trainedTokens: 1,
      tokens: size,
      sourceRows: [],
    };
  });
}

/** B·A, [out, in]. */
function product(site: Site, values: ReadonlyMap<string, Float32Array>): Float64Array {
  const a = values.get(`${site.path}.lora_A.weight`)!;
  const b = values.get(`${site.path}.lora_B.weight`)!;
  const out = new Float64Array(site.outFeatures * site.inFeatures);
  for (let i = 0; i < site.outFeatures; i++)
    for (let k = 0; k < site.r; k++)
      for (let j = 0; j < site.inFeatures; j++)
        out[i * site.inFeatures + j]! += b[i * site.r + k]! * a[k * site.inFeatures + j]!;
  return out;
}

/** The values that the run computes with, in the checkpoint's layout, also where they lie in four bits. */
async function baseOf(site: Site, weights: BaseWeights): Promise<Float32Array> {
  const name = site.module.weight;
  const form = weights.packed.get(name);
  if (!form) return runtime.read(await weights.tensor(name)) as Float32Array;
  const parts = [];
  for (const part of packedParts(form)) parts.push(runtime.read(await weights.tensor(name + part.suffix)));
  const values = unpackWeight(fromParts(form, parts));
  return site.module.kind === 'conv1d' ? turned(values, site.outFeatures, site.inFeatures) : values;
}

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let [off, size] = [0, 0];
  for (let i = 0; i < a.length; i++) {
    off += (a[i]! - b[i]!) ** 2;
    size += b[i]! ** 2;
  }
  return Math.sqrt(off / size);
}

for (const [name, given] of Object.entries(cases)) {
  const tolerance = given.tolerance ?? 2e-5;
  test(`${name}: PEFT's products, bases and curve`, async () => {
    const { folder, golden, weights, settings, prepare } = await ours(name, given);
    const start = await prepare(settings);
    const changed = (await readSafetensors(join(folder, 'base_tensors.safetensors'))).tensors;
    assert.equal(changed.size, golden.plan.sites.size);
    for (const site of golden.plan.sites.values()) {
      const off = distance(product(site, start.values), product(site, golden.values));
      assert.ok(off < tolerance, `${site.path}: products differ by ${off}`);
      const theirs = await readTensor(changed.get(`${site.path}.weight`)!);
      const base = await baseOf(site, weights);
      assert.ok(
        distance(base, theirs) < tolerance,
        `${site.path}: bases differ by ${distance(base, theirs)}`,
      );
      if (!start.residual) continue;
      const whole = await weights.values(site.module.weight);
      const s = loraScaling(site, settings);
      const sum = product(site, start.values);
      let worst = 0;
      for (let i = 0; i < site.outFeatures; i++) {
        for (let j = 0; j < site.inFeatures; j++) {
          const at = site.module.kind === 'conv1d' ? j * site.outFeatures + i : i * site.inFeatures + j;
          worst = Math.max(worst, Math.abs(base[at]! + s * sum[i * site.inFeatures + j]! - whole[at]!));
        }
      }
      assert.ok(worst < 1e-6, `${site.path}: W_res + s·B0·A0 is off W by ${worst}`);
    }
    const run = await openGolden(runtime, folder, 'selective');
    run.trainer.state.write(start.values);
    for (const [i, want] of run.expected.steps.entries()) {
      const { loss } = await run.step(i);
      const limit = 1e-4 * want.loss;
      assert.ok(Math.abs(loss - want.loss) <= limit, `step ${i}: loss ${loss}, PEFT's ${want.loss}`);
    }
    run.release();
    weights.release();
  });
}

for (const name of ['llama-pissa-niter-4', 'gpt2-pissa-niter-4']) {
  test(`${name}: as good an approximation as PEFT's, or better`, async () => {
    const { golden, weights, settings, prepare } = await ours(name, { init: 'pissa_niter_4' });
    const start = await prepare(settings);
    const s = loraScaling([...golden.plan.sites.values()][0]!, settings);
    for (const site of golden.plan.sites.values()) {
      const values = await weights.values(site.module.weight);
      const w = new Float64Array(values.length);
      for (let i = 0; i < site.outFeatures; i++)
        for (let j = 0; j < site.inFeatures; j++)
          w[i * site.inFeatures + j] =
            values[site.module.kind === 'conv1d' ? j * site.outFeatures + i : i * site.inFeatures + j]!;
      const left = [start.values, golden.values].map((v) =>
        distance(
          product(site, v).map((x) => s * x),
          w,
        ),
      );
      assert.ok(
        left[0]! <= left[1]! * 1.001,
        `${site.path}: ${left[0]} is left out here, ${left[1]} in PEFT`,
      );
    }
    weights.release();
  });
}

for (const name of ['llama-eva', 'gpt2-eva']) {
  test(`${name}: the ranks and the space of the exact principal directions`, async () => {
    const { folder, golden, model, weights, settings, prepare } = await ours(name, {
      init: 'eva',
      own: {
        eva_rho: 2,
        eva_tau: 0.99,
        eva_use_label_mask: true,
        eva_whiten: false,
        eva_adjust_scaling_factors: true,
      },
    });
    const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as {
      eva: { ranksByExactPca: Record<string, number>; alphaPattern: Record<string, number> };
    };
    // Before EVA moved ranks, every target of the golden had r.
    const targets = Object.keys(expected.eva.ranksByExactPca);
    const plain = { ...settings, target_modules: targets, rank_pattern: {}, alpha_pattern: {} };
    const { plan, values } = await prepare(plain);
    const found = Object.fromEntries(targets.map((path) => [path, plan.sites.get(path)?.r ?? 0]));
    assert.deepEqual(found, expected.eva.ranksByExactPca);
    const exact = (await readSafetensors(join(folder, 'calibration.safetensors'))).tensors;
    for (const site of plan.sites.values()) {
      const components = await readTensor(exact.get(`${site.path}.components`)!);
      const a = values.get(`${site.path}.lora_A.weight`)!;
      let overlap = 0;
      for (let i = 0; i < site.r; i++)
        for (let j = 0; j < site.r; j++) {
          let dot = 0;
          for (let k = 0; k < site.inFeatures; k++)
            dot += a[i * site.inFeatures + k]! * components[j * site.inFeatures + k]!;
          overlap += dot * dot;
        }
      assert.ok(overlap / site.r > 0.9, `${site.path}: overlap ${overlap / site.r}`);
      const s = loraScaling(site, plan.settings);
      assert.ok(Math.abs(s - settings.lora_alpha / settings.r) < 1e-9);
    }
    assert.ok(golden.plan.sites.size > 0 && model.layers > 0);
    weights.release();
  });
}
