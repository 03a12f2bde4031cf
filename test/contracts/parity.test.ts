// The loss curve is PEFT's: 50 steps from the same tensors on the same batches, each loss within 1e-4 relative, the final
// tensors within 1e-3 (goldens: test/reference/training.py).
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readAdapterFolder } from '../../src/engine/adapters/peftFile';
import { planAdapter } from '../../src/engine/adapters/plan';
import { type AdapterSettings, settingsOfPeft } from '../../src/engine/adapters/settings';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { readRaw, readSafetensors, readTensor } from '../../src/engine/checkpoint/safetensors';
import type { Batch } from '../../src/engine/data';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { modelFromConfig } from '../../src/engine/models/registry';
import { learningRateAt } from '../../src/engine/optim/schedule';
import { openRuntime } from '../../src/engine/session';
import { Trainer } from '../../src/engine/train/trainer';
import type { Schedule } from '../../src/protocol/recipe';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
after(() => runtime.close());
const goldens = join('test', 'goldens', 'training');

interface Expected {
  base: string;
  method: 'lora' | 'full';
  optimizer: {
    learningRate: number;
    betas: [number, number];
    eps: number;
    weightDecay: number;
    maxGradNorm: number;
  };
  schedule: { name: Schedule; warmupSteps: number; totalSteps: number };
  gradientAccumulation: number;
  grouping: 'one' | 'hf';
  /** Rows of tensors whose gradient is zero in exact arithmetic: AdamW turns rounding noise into steps there. */
  undetermined: { name: string; rows: [number, number] }[];
  steps: { loss: number; gradNorm: number; learningRate: number; trainedTokens: number }[];
}

for (const name of readdirSync(goldens)) {
  for (const checkpointing of ['none', 'selective', 'full'] as const) {
    test(`${name}, ${checkpointing} checkpointing: PEFT's losses and tensors`, () =>
      compare(name, checkpointing));
  }
}

async function compare(name: string, checkpointing: 'none' | 'selective' | 'full'): Promise<void> {
  const folder = join(goldens, name);
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected;
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', expected.base));
  const model = modelFromConfig(checkpoint.config);
  const weights = BaseWeights.of(runtime, checkpoint, model);
  const initial =
    expected.method === 'lora' ? await readAdapterFolder(join(folder, 'initial_adapter')) : undefined;
  const settings: AdapterSettings = initial
    ? settingsOfPeft(initial.config, model.defaultTargets)
    : ({ adapter: 'none', lora_dropout: 0, settings: {} } as AdapterSettings);
  const planned = planAdapter(model, settings);
  const plan =
    expected.grouping === 'one'
      ? { ...planned, trained: planned.trained.map((t) => ({ ...t, group: { ...t.group, decay: true } })) }
      : planned;
  const { optimizer, schedule } = expected;
  const trainer = await Trainer.create({
    runtime,
    model,
    weights,
    plan,
    largestBatchTokens: 64,
    settings: {
      optim: 'adamw',
      weight_decay: optimizer.weightDecay,
      adam_beta1: optimizer.betas[0],
      adam_beta2: optimizer.betas[1],
      adam_epsilon: optimizer.eps,
      max_grad_norm: optimizer.maxGradNorm,
      settings: {},
      seed: 1,
      packing: false,
      gradient_accumulation_steps: expected.gradientAccumulation,
      gradient_checkpointing: checkpointing,
    },
  });
  if (initial) {
    const values = new Map<string, Float32Array>();
    for (const { name: tensor } of plan.trained) {
      values.set(tensor, await initial.tensors.get(`base_model.model.${tensor}`)!.read());
    }
    trainer.state.writeAll(values);
  }

  const file = await readSafetensors(join(folder, 'batches.safetensors'));
  const [, micros, rows, length] = file.tensors.get('input_ids')!.shape as [number, number, number, number];
  const [ids, labels] = await Promise.all(['input_ids', 'labels'].map((key) => integers(file, key)));
  const rates = {
    learning_rate: optimizer.learningRate,
    lr_scheduler_type: schedule.name,
    warmup_steps: schedule.warmupSteps,
    warmup_ratio: 0,
  };
  for (const [step, want] of expected.steps.entries()) {
    const batches = Array.from({ length: micros }, (_, i) =>
      batchAt(ids!, labels!, step * micros + i, rows, length),
    );
    const tokens = batches.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    assert.equal(tokens, want.trainedTokens);
    let loss = 0;
    for (const [i, batch] of batches.entries()) {
      loss += (await trainer.accumulate(batch, tokens, i > 0, step * micros + i)).loss;
    }
    const rate = learningRateAt(rates, step + 1, schedule.totalSteps);
    assert.ok(
      Math.abs(rate - want.learningRate) <= 1e-9,
      `step ${step}: learning rate ${rate}, PEFT's ${want.learningRate}`,
    );
    const norm = await trainer.update(step + 1, rate);
    assert.ok(
      Math.abs(loss - want.loss) <= 1e-4 * want.loss,
      `step ${step}: loss ${loss}, PEFT's ${want.loss}`,
    );
    assert.ok(
      Math.abs(norm - want.gradNorm) <= 1e-3 * want.gradNorm,
      `step ${step}: norm ${norm}, PEFT's ${want.gradNorm}`,
    );
  }

  const finals = existsSync(join(folder, 'final_adapter'))
    ? (await readAdapterFolder(join(folder, 'final_adapter'))).tensors
    : (await openCheckpoint(join(folder, 'final_model'))).tensors;
  for (const [tensor, values] of trainer.state.readAll()) {
    const key = initial ? `base_model.model.${tensor}` : tensor;
    const entry = finals.get(key)!;
    const want = 'read' in entry ? await entry.read() : await readTensor(entry);
    const width = values.length / plan.trained.find((t) => t.name === tensor)!.shape[0]!;
    const skipped = expected.undetermined.filter((u) => u.name === key);
    values.forEach((value, i) => {
      const row = Math.floor(i / width);
      if (skipped.some(({ rows: [from, to] }) => row >= from && row < to)) return;
      assert.ok(Math.abs(value - want[i]!) <= 1e-3, `${tensor}[${i}] is ${value}, PEFT's ${want[i]}`);
    });
  }
  trainer.release();
  weights.release();
}

async function integers(
  file: Awaited<ReturnType<typeof readSafetensors>>,
  key: string,
): Promise<BigInt64Array> {
  const bytes = await readRaw(file.tensors.get(key)!);
  return new BigInt64Array(bytes.slice().buffer);
}

/** Shifts labels to targets: position t learns token t + 1. */
function batchAt(
  ids: BigInt64Array,
  labels: BigInt64Array,
  index: number,
  rows: number,
  length: number,
): Batch {
  const start = index * rows * length;
  const part = (source: BigInt64Array): Int32Array =>
    Int32Array.from(source.subarray(start, start + rows * length), Number);
  const label = part(labels);
  const targets = Int32Array.from(label, (_, i) => (i % length === length - 1 ? -100 : label[i + 1]!));
  return {
    rows,
    length,
    ids: part(ids),
    targets,
    positions: Int32Array.from(targets, (_, i) => i % length),
    segments: Int32Array.from(targets, () => 1),
    trainedTokens: targets.filter((t) => t >= 0).length,
    tokens: rows * length,
    sourceRows: [],
  };
}
