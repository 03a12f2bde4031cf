// The training goldens (test/reference/training.py) as something to train: the same start, the same batches, PEFT's curve.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readAdapterFolder } from '../../src/engine/adapters/peftFile';
import { type AdapterPlan, planAdapter } from '../../src/engine/adapters/plan';
import { type AdapterSettings, settingsOfPeft } from '../../src/engine/adapters/settings';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { readRaw, readSafetensors } from '../../src/engine/checkpoint/safetensors';
import type { Batch } from '../../src/engine/data';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import type { Model } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import { learningRateAt } from '../../src/engine/optim/schedule';
import type { Runtime } from '../../src/engine/session';
import { Trainer, type TrainerSettings } from '../../src/engine/train/trainer';
import type { Schedule } from '../../src/protocol/recipe';

export const trainingGoldens = join('test', 'goldens', 'training');

export interface ExpectedCurve {
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

export interface GoldenRun {
  expected: ExpectedCurve;
  model: Model;
  plan: AdapterPlan;
  weights: BaseWeights;
  trainer: Trainer;
  baseFolder: string;
  /** One optimizer step of the golden's batches. */
  step(index: number): Promise<{ loss: number; norm: number; learningRate: number; trainedTokens: number }>;
  release(): void;
}

/** Opens a golden at its first step. */
export async function openGolden(
  runtime: Runtime,
  name: string,
  checkpointing: TrainerSettings['gradient_checkpointing'],
): Promise<GoldenRun> {
  const folder = join(trainingGoldens, name);
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as ExpectedCurve;
  const baseFolder = join('test', 'goldens', 'models', expected.base);
  const checkpoint = await openCheckpoint(baseFolder);
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
      ? { ...planned, tensors: planned.tensors.map((t) => ({ ...t, group: { ...t.group, decay: true } })) }
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
    for (const { name: tensor } of plan.tensors) {
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
  const step: GoldenRun['step'] = async (index) => {
    const batches = Array.from({ length: micros }, (_, i) =>
      batchAt(ids!, labels!, index * micros + i, rows, length),
    );
    const trainedTokens = batches.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    let loss = 0;
    for (const [i, batch] of batches.entries()) {
      loss += (await trainer.accumulate(batch, trainedTokens, i > 0, index * micros + i)).loss;
    }
    const learningRate = learningRateAt(rates, index + 1, schedule.totalSteps);
    return { loss, norm: await trainer.update(index + 1, learningRate), learningRate, trainedTokens };
  };
  const release = (): void => {
    trainer.release();
    weights.release();
  };
  return { expected, model, plan, weights, trainer, baseFolder, step, release };
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
