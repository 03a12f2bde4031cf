// How often the host waits for the device in a step of training: once, for the loss and the norm. Counted by the runtime, on
// the CPU as it would be on a device with a queue.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { planAdapter } from '../../src/engine/adapters/plan';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { Evaluator } from '../../src/engine/execution/evaluator';
import type { Paging } from '../../src/engine/execution/paging';
import { Stepper } from '../../src/engine/generate/stepper';
import { type FloatType, precisionFor } from '../../src/engine/graph/precision';
import { modelFromConfig } from '../../src/engine/models/registry';
import { type Later, type MicroStep, Trainer } from '../../src/engine/train/trainer';
import { contractRuntime } from './contractRuntime';
import { adapterSettings, randomBatch } from './randomAdapter';

const runtime = contractRuntime();
after(() => runtime.close());

/** WebGPU has no queue of which the host may go ahead. */
const skip = runtime.device.kind === 'webgpu';
const micros = 2;

async function opened() {
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', 'llama-gqa-tied'));
  return { checkpoint, model: modelFromConfig(checkpoint.config) };
}

async function waitsOfStep(options: {
  optim?: string;
  compute?: FloatType;
  paging?: Paging;
  windowLength?: number;
  inPlace?: boolean;
}): Promise<number> {
  const { checkpoint, model } = await opened();
  const { optim = 'adamw', compute = 'float32', ...more } = options;
  const weights = BaseWeights.of(runtime, checkpoint, model, precisionFor(compute, runtime.device.kind));
  const plan = planAdapter(model, adapterSettings(model, { lora_dropout: 0.1 }));
  const trainer = await Trainer.create({
    runtime,
    model,
    weights,
    plan,
    largestBatchTokens: 12,
    settings: {
      optim,
      weight_decay: 0.1,
      adam_beta1: 0.9,
      adam_beta2: 0.999,
      adam_epsilon: 1e-8,
      max_grad_norm: 1,
      settings: { min_8bit_size: 64 },
      seed: 3,
      packing: false,
      gradient_accumulation_steps: micros,
      gradient_checkpointing: 'selective',
    },
    ...more,
  });
  const step = async (number: number): Promise<number> => {
    const before = runtime.hostWaits;
    const parts: Later<MicroStep>[] = [];
    for (let micro = 0; micro < micros; micro++) {
      const batch = randomBatch(model, micros * number + micro);
      const tokens = micros * batch.trainedTokens;
      parts.push(await trainer.startMicroStep(batch, tokens, micro > 0, micros * number + micro, micros));
    }
    const numbers = async () => Promise.all(parts.map(async (part) => (await part()).loss));
    if (trainer.lossScale) assert.ok(await trainer.unscale(async () => (await numbers())[0]!));
    const norm = await (await trainer.startUpdate(number, 1e-3))();
    const losses = await numbers();
    assert.ok(
      [norm, ...losses].every((value) => Number.isFinite(value) && value > 0),
      `${losses} ${norm}`,
    );
    return runtime.hostWaits - before;
  };
  await step(1);
  const waits = await step(2);
  trainer.release();
  weights.release();
  return waits;
}

test('a step of accumulated batches waits once, with dropout and clipping', { skip }, async () => {
  assert.equal(await waitsOfStep({}), 1);
});

test('so it does with state in eight bits, and with state written aside', { skip }, async () => {
  assert.equal(await waitsOfStep({ optim: 'adamw_8bit' }), 1);
  assert.equal(await waitsOfStep({ inPlace: false }), 1);
});

test('float16 waits once more, to learn whether the step counts', { skip }, async () => {
  assert.equal(await waitsOfStep({ compute: 'float16' }), 2);
});

test('numbers are those of the moment at which they were asked for', { skip }, async () => {
  const { checkpoint, model } = await opened();
  const weights = BaseWeights.of(runtime, checkpoint, model);
  const evaluator = new Evaluator({ runtime, model, weights });
  const before = runtime.hostWaits;
  const losses = [];
  for (const seed of [1, 2, 3]) losses.push(await evaluator.loss(randomBatch(model, seed), false));
  assert.equal(new Set(losses).size, 3);
  assert.equal(runtime.hostWaits - before, 3);
  evaluator.release();
  weights.release();
  const value = runtime.fromHost('float32', [2], Float32Array.of(1, 2));
  const first = runtime.fetch(value);
  runtime.write(value, Float32Array.of(3, 4));
  const second = runtime.fetch(value);
  const waits = runtime.hostWaits;
  assert.deepEqual(await second(), Float32Array.of(3, 4));
  assert.deepEqual(await first(), Float32Array.of(1, 2));
  assert.equal(runtime.hostWaits - waits, 1);
  value.release();
});

test('a generated token waits once', { skip }, async () => {
  const { checkpoint, model } = await opened();
  const weights = BaseWeights.of(runtime, checkpoint, model);
  const stepper = new Stepper({ runtime, model, weights });
  const { batch } = await stepper.begin([[1, 2, 3]], 8, 64);
  await batch.step([4], [true]);
  const before = runtime.hostWaits;
  await batch.step([5], [true]);
  assert.equal(runtime.hostWaits - before, 1);
  stepper.release();
  weights.release();
});
