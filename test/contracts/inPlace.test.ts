// State that is updated in the buffer it is read from equals state that is written aside: every method with every optimizer,
// gradients accumulated over micro-batches, to the bit on the CPU. A device that overwrites what is still read fails here.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { type AdapterPlan, planAdapter } from '../../src/engine/adapters/plan';
import { variants } from '../../src/engine/adapters/registry';
import type { Variant } from '../../src/engine/adapters/variant';
import { type Checkpoint, openCheckpoint } from '../../src/engine/checkpoint/folder';
import { RecipeError } from '../../src/engine/errors';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { type FloatType, precisionFor } from '../../src/engine/graph/precision';
import type { Model } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import { optimizers, slabsFor } from '../../src/engine/optim/registry';
import { Trainer, type TrainerSettings } from '../../src/engine/train/trainer';
import type { SettingValue } from '../../src/protocol/settings';
import { contractDevice, contractRuntime } from './contractRuntime';
import { adapterSettings, randomBatch, randomEarlier } from './randomAdapter';
import { plainTrainer } from './trainerSettings';

const runtime = contractRuntime();
after(() => runtime.close());

/** Elsewhere products may add up in an order that varies; an overwritten value is off by far more (5e-3 was seen). */
const tolerance = contractDevice === 'cpu' ? 0 : 1e-5;
/** Optimizers' own settings at sizes that fit small tensors. */
const small: Record<string, SettingValue> = {
  galore_rank: 4,
  galore_update_interval: 2,
  min_8bit_size: 64,
  momentum: 0.9,
};

function settingsOf(optim: string): TrainerSettings {
  const { entry } = optimizers.find(({ id }) => id === optim)!;
  return {
    ...plainTrainer,
    optim,
    weight_decay: 0.1,
    settings: Object.fromEntries(
      entry.fields.map(({ key, default: usual }) => [key, small[key] ?? usual ?? null]),
    ),
    gradient_accumulation_steps: 2,
  };
}

function planOf(model: Model, variant: Variant): AdapterPlan {
  const own = Object.fromEntries(variant.entry.fields.map((field) => [field.key, field.default ?? null]));
  const given = adapterSettings(model, {
    adapter: variant.id,
    settings: own,
    target_modules: ['q_proj', 'down_proj'],
  });
  const plan = planAdapter(model, given);
  return variant.earlier ? planAdapter(model, given, randomEarlier(plan, 0.2)) : plan;
}

/** Three steps; everything that a checkpoint would hold. */
async function trained(
  { checkpoint, model }: { checkpoint: Checkpoint; model: Model },
  plan: AdapterPlan,
  settings: TrainerSettings,
  inPlace: boolean,
  compute: FloatType,
): Promise<ReadonlyMap<string, ArrayLike<number>>> {
  const weights = BaseWeights.of(runtime, checkpoint, model, precisionFor(compute, runtime.device.kind));
  const options = { runtime, model, weights, plan, settings, inPlace, largestBatchTokens: 12, totalSteps: 3 };
  const trainer = await Trainer.create(options);
  try {
    const found = new Map<string, ArrayLike<number>>();
    for (let step = 1; step <= 3; step++) {
      const losses: number[] = [];
      for (const micro of [0, 1]) {
        const batch = randomBatch(model, 2 * step + micro);
        const { loss } = await trainer.accumulate(
          batch,
          2 * batch.trainedTokens,
          micro > 0,
          2 * step + micro,
          2,
        );
        losses.push(loss);
      }
      await trainer.unscale(losses[0]! + losses[1]!);
      found.set(`step ${step}`, [...losses, await trainer.update(step, 1e-2)]);
    }
    for (const [name, values] of [...trainer.state.readAll(), ...trainer.state.readOptimizer()])
      found.set(name, Array.from<number | bigint>(values).map(Number));
    return found;
  } finally {
    trainer.release();
    weights.release();
  }
}

async function compare(variant: Variant, optim: string, compute: FloatType = 'float32'): Promise<void> {
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', 'llama-gqa-tied'));
  const model = modelFromConfig(checkpoint.config);
  const [plan, settings] = [planOf(model, variant), settingsOf(optim)];
  try {
    slabsFor(plan.tensors, settings);
  } catch (error) {
    // GaLore takes whole matrices alone.
    if (error instanceof RecipeError) return;
    throw error;
  }
  const given = { checkpoint, model };
  const inPlace = await trained(given, plan, settings, true, compute);
  const aside = await trained(given, plan, settings, false, compute);
  assert.deepEqual([...inPlace.keys()], [...aside.keys()]);
  for (const [name, values] of aside) {
    const found = inPlace.get(name)!;
    if (tolerance === 0) assert.deepEqual(found, values, name);
    else {
      const worst = Math.max(
        ...Array.from(values, (x, i) => Math.abs(x - found[i]!) / Math.max(1, Math.abs(x))),
      );
      // Codes of eight bits may round to the neighbouring one.
      assert.ok(worst <= tolerance || name.includes('code'), `${name} differs by ${worst}`);
    }
  }
}

for (const variant of variants)
  for (const { id } of optimizers)
    test(`${variant.id}, ${id}: in place as well as aside`, () => compare(variant, id));

const lora = variants.find(({ id }) => id === 'lora')!;
test('float16, whose gradients are unscaled in place: the same', () => compare(lora, 'adamw', 'float16'));

test('aside means a second buffer for all that a step changes', async () => {
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', 'llama-gqa-tied'));
  const model = modelFromConfig(checkpoint.config);
  const weights = BaseWeights.of(runtime, checkpoint, model);
  const bytes: number[] = [];
  for (const inPlace of [true, false]) {
    const before = runtime.memory().tensorBytes;
    const options = { runtime, model, weights, plan: planOf(model, lora), settings: settingsOf('adamw') };
    const trainer = await Trainer.create({ ...options, inPlace, largestBatchTokens: 12 });
    bytes.push(runtime.memory().tensorBytes - before);
    trainer.release();
  }
  weights.release();
  assert.equal(bytes[1], 2 * bytes[0]!);
});
