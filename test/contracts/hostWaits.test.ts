// How often the host waits for the device in a step of training: once, for the loss and the norm. Counted by the runtime, on
// the CPU as it would be on a device with a queue.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { planAdapter } from '../../src/engine/adapters/plan';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { SessionError } from '../../src/engine/errors';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { Evaluator } from '../../src/engine/execution/evaluator';
import type { Paging } from '../../src/engine/execution/paging';
import { assertCapturable } from '../../src/engine/execution/program';
import { Stepper } from '../../src/engine/generate/stepper';
import { GraphBuilder } from '../../src/engine/graph/builder';
import type { Value } from '../../src/engine/graph/graph';
import { type FloatType, precisionFor } from '../../src/engine/graph/precision';
import type { Model } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import type { Runtime, Session } from '../../src/engine/session';
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

function trainerOptions(
  on: Runtime,
  model: Model,
  weights: BaseWeights,
  optim: string,
  lora_dropout: number,
) {
  return {
    runtime: on,
    model,
    weights,
    plan: planAdapter(model, adapterSettings(model, { lora_dropout })),
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
      gradient_checkpointing: 'selective' as const,
    },
  };
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
  const trainer = await Trainer.create({ ...trainerOptions(runtime, model, weights, optim, 0.1), ...more });
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

test('from step to step every program has the same tensors, which a CUDA graph has inside', async () => {
  const { checkpoint, model } = await opened();
  let binds = 0;
  const counting = new Proxy(runtime, {
    get(target, key: keyof Runtime) {
      if (key === 'createSession')
        return async (...given: Parameters<Runtime['createSession']>) => {
          const session = await target.createSession(...given);
          return new Proxy(session, {
            get(own, name: keyof Session) {
              if (name === 'bindInput' || name === 'bindOutput') binds++;
              const value = own[name];
              return typeof value === 'function' ? (value as () => unknown).bind(own) : value;
            },
          });
        };
      const value = target[key];
      return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
    },
  });
  const bindsOf = async (inPlace: boolean): Promise<number> => {
    const weights = BaseWeights.of(counting, checkpoint, model);
    const trainer = await Trainer.create({
      ...trainerOptions(counting, model, weights, 'adamw', 0),
      inPlace,
    });
    const step = async (number: number) => {
      const batch = randomBatch(model, number);
      await trainer.accumulate(batch, batch.trainedTokens, false, number);
      await trainer.update(number, 1e-3);
    };
    await step(1);
    const before = binds;
    await step(2);
    await step(3);
    trainer.release();
    weights.release();
    return binds - before;
  };
  assert.equal(await bindsOf(true), 0);
  // Written aside, state is copied back, so that addresses do not alternate.
  assert.equal(await bindsOf(false), 0);
  assert.ok(binds > 50);
});

test('what a CUDA graph cannot hold is refused by name', async () => {
  const b = new GraphBuilder('gradient 1x8');
  const pool = b.input('pool', 'float32', [64]);
  const offset = b.input('dropout_offset.0', 'int64', [1]);
  const end = b.input('dropout_end.0', 'int64', [1]);
  const graph = (value: Value) => b.finish([{ name: 'y', value }]);
  assertCapturable(graph(b.op('Exp', [pool], {})));
  const window = b.op('DynamicSlice', [pool, offset, end], { shape: [8] });
  assert.throws(
    () => assertCapturable(graph(window)),
    (error: unknown) => {
      assert.ok(error instanceof SessionError && error.code === 'graph-impossible');
      assert.match(
        error.message,
        /gradient 1x8 cannot .* reads dropout_offset\.0, dropout_end\.0 in host memory/,
      );
      assert.match(error.remedy, /lora_dropout: 0, or LORA_WORKBENCH_CUDA_GRAPH=auto/);
      return true;
    },
  );
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
