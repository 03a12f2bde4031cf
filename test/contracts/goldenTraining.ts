// The training goldens (test/reference/training.py, methods.py) as something to train: the same start, the same batches,
// PEFT's curve.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { modelForAdapters } from '../../src/engine/adapters/baseConfig';
import { loadAdapter } from '../../src/engine/adapters/loaded';
import { withLoraPlusRates } from '../../src/engine/adapters/loraPlus';
import { fileName } from '../../src/engine/adapters/peftNames';
import { type AdapterPlan, planAdapter } from '../../src/engine/adapters/plan';
import type { AdapterSettings } from '../../src/engine/adapters/settings';
import { type Checkpoint, openCheckpoint } from '../../src/engine/checkpoint/folder';
import {
  readRaw,
  readSafetensors,
  readTensor,
  writeSafetensors,
} from '../../src/engine/checkpoint/safetensors';
import type { Batch } from '../../src/engine/data';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import type { Precision } from '../../src/engine/graph/precision';
import type { Model } from '../../src/engine/models/architecture';
import { attentionOf } from '../../src/engine/models/attentions';
import { learningRateAt } from '../../src/engine/optim/schedule';
import type { Runtime } from '../../src/engine/session';
import { smallestScale } from '../../src/engine/train/lossScale';
import { prepareStart } from '../../src/engine/train/start';
import { Trainer, type TrainerSettings } from '../../src/engine/train/trainer';
import type { Schedule } from '../../src/protocol/recipe';

export const trainingGoldens = join('test', 'goldens', 'training');
/** LoRA on checkpoints in bitsandbytes' four bits, which lie beside the curves (test/reference/fourbit.py). */
export const fourBitGoldens = join('test', 'goldens', 'fourbit', 'training');
export const methodGoldens = join('test', 'goldens', 'methods', 'training');

export interface ExpectedCurve {
  base: string;
  method: string;
  optimizer: {
    name?: string;
    loraplus_lr_ratio?: number;
    loraplus_lr_embedding?: number;
    learningRate: number;
    betas: [number, number];
    eps: number;
    weightDecay: number;
    maxGradNorm: number;
  };
  schedule: { name: Schedule; warmupSteps: number; totalSteps: number };
  gradientAccumulation: number;
  /** LongLoRA's blocks. */
  attention?: { groupSize: number };
  grouping?: 'one' | 'hf';
  /** Of the method goldens: rate and decay by file name. */
  groups?: { weightDecay: number; learningRate: number; parameters: string[] }[];
  /** Rows of tensors whose gradient is zero in exact arithmetic: AdamW turns rounding noise into steps there. */
  undetermined?: { name: string; rows: [number, number] }[];
  steps: {
    loss: number;
    /** Without the losses that the method adds. */
    taskLoss?: number;
    gradNorm: number;
    learningRate: number;
    trainedTokens: number;
  }[];
}

export interface GoldenRun {
  expected: ExpectedCurve;
  model: Model;
  plan: AdapterPlan;
  weights: BaseWeights;
  trainer: Trainer;
  baseFolder: string;
  /** One optimizer step of the golden's batches; `extra` is what the method adds to the loss. */
  step(
    index: number,
  ): Promise<{ loss: number; extra: number; norm: number; learningRate: number; trainedTokens: number }>;
  /** The first half of a step: its accumulated gradients. */
  gradients(index: number): Promise<{ loss: number; extra: number; trainedTokens: number }>;
  release(): void;
}

/** What an adapter's file does not say of how it was trained. */
const trainedAs: Record<string, (expected: ExpectedCurve) => Pick<AdapterSettings, 'adapter' | 'settings'>> =
  {
    'lora-fa': ({ optimizer }) => ({
      adapter: 'lora_fa',
      settings: { lorafa_gradient: optimizer.name === 'lorafa' ? 'projected' : 'plain' },
    }),
  };

/** Opens a golden at its first step. `folder` holds its files; `planOf` trains another adapter on its batches. */
export async function openGolden(
  runtime: Runtime,
  folder: string,
  checkpointing: TrainerSettings['gradient_checkpointing'],
  precision?: Precision,
  planOf?: (model: Model) => AdapterPlan,
): Promise<GoldenRun> {
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as ExpectedCurve;
  const baseFolder = join('test', 'goldens', 'models', expected.base);
  const checkpoint = await changedBase(folder, await openCheckpoint(baseFolder));
  const started = expected.method === 'full' ? [] : [join(folder, 'initial_adapter')];
  const model = await modelForAdapters(checkpoint.config, started);
  const weights = BaseWeights.of(runtime, checkpoint, model, precision);
  const initial =
    expected.method === 'full' ? undefined : await loadAdapter(join(folder, 'initial_adapter'), model);
  const settings: AdapterSettings = initial
    ? { ...initial.plan.settings, ...trainedAs[expected.method]?.(expected) }
    : ({ adapter: 'none', lora_dropout: 0, settings: {} } as AdapterSettings);
  const plan = planOf?.(model) ?? grouped(planAdapter(model, settings), expected);
  const { optimizer, schedule } = expected;
  const trainer = await Trainer.create({
    runtime,
    model,
    weights,
    plan,
    largestBatchTokens: 64,
    totalSteps: schedule.totalSteps,
    ...(expected.attention
      ? {
          attention: attentionOf(
            {
              attention: 'shift_short',
              max_length: model.maxPositions,
              settings: { group_size: expected.attention.groupSize },
            },
            model,
          ),
        }
      : {}),
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
  if (planOf) {
    const seed = 3;
    const common = { runtime, model, weights, plan, seed, packing: false, batches: () => [] };
    const start = await prepareStart({ ...common, planFor: () => plan, onProgress: () => {} });
    trainer.state.write(start.values);
  } else if (initial) trainer.state.writeAll(initial.values);

  const file = await readSafetensors(join(folder, 'batches.safetensors'));
  const [, micros, rows, length] = file.tensors.get('input_ids')!.shape as [number, number, number, number];
  const [ids, labels] = await Promise.all(['input_ids', 'labels'].map((key) => integers(file, key)));
  const rates = {
    learning_rate: optimizer.learningRate,
    lr_scheduler_type: schedule.name,
    warmup_steps: schedule.warmupSteps,
    warmup_ratio: 0,
  };
  const gradients: GoldenRun['gradients'] = async (index) => {
    const batches = Array.from({ length: micros }, (_, i) =>
      batchAt(ids!, labels!, index * micros + i, rows, length),
    );
    const trainedTokens = batches.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    let [loss, extra] = [0, 0];
    for (const [i, batch] of batches.entries()) {
      const part = await trainer.accumulate(batch, trainedTokens, i > 0, index * micros + i, batches.length);
      loss += part.loss;
      extra += part.extra;
    }
    return { loss, extra, trainedTokens };
  };
  const step: GoldenRun['step'] = async (index) => {
    let found = await gradients(index);
    // A step that overflows float16 is taken again, at the smaller scale.
    while (!(await trainer.unscale(found.loss))) {
      assert.ok(trainer.lossScale!.scale >= smallestScale, `step ${index} overflows float16`);
      found = await gradients(index);
    }
    const { loss, extra, trainedTokens } = found;
    const learningRate = learningRateAt(rates, index + 1, schedule.totalSteps);
    return { loss, extra, norm: await trainer.update(index + 1, learningRate), learningRate, trainedTokens };
  };
  const release = (): void => {
    trainer.release();
    weights.release();
  };
  return { expected, model, plan, weights, trainer, baseFolder, gradients, step, release };
}

/** The plan with the golden's groups: rates as our own LoRA+ gives them, decay as PEFT had it. */
function grouped(planned: AdapterPlan, { grouping, groups, optimizer }: ExpectedCurve): AdapterPlan {
  const decayAlways = planned.tensors.map((t) => ({ ...t, group: { ...t.group, decay: true } }));
  if (grouping || !groups) return grouping === 'one' ? { ...planned, tensors: decayAlways } : planned;
  const plan = withLoraPlusRates(planned, {
    learning_rate: optimizer.learningRate,
    loraplus_lr_ratio: optimizer.loraplus_lr_ratio ?? null,
    loraplus_lr_embedding: optimizer.loraplus_lr_embedding ?? null,
  });
  const groupOf = new Map(groups.flatMap((group) => group.parameters.map((name) => [name, group])));
  const tensors = plan.tensors.map((tensor) => {
    const group = groupOf.get(fileName(tensor.name));
    if (tensor.frozen) {
      assert.equal(group, undefined, `${tensor.name} trains in PEFT`);
      return tensor;
    }
    assert.ok(group, `${tensor.name} does not train in PEFT`);
    const rate = optimizer.learningRate * tensor.group.learningRateScale;
    assert.ok(Math.abs(rate - group.learningRate) < 1e-12, `${tensor.name}: ${rate}, ${group.learningRate}`);
    return { ...tensor, group: { ...tensor.group, decay: group.weightDecay > 0 } };
  });
  assert.equal(tensors.filter((tensor) => !tensor.frozen).length, groupOf.size);
  return { ...plan, tensors };
}

/** The base with the tensors that the method changed before the first step, in a folder of its own. */
async function changedBase(folder: string, checkpoint: Checkpoint): Promise<Checkpoint> {
  const path = join(folder, 'base_tensors.safetensors');
  if (!existsSync(path)) return checkpoint;
  const { tensors: changed } = await readSafetensors(path);
  const out = await mkdtemp(join(tmpdir(), 'workbench-base-'));
  await copyFile(join(checkpoint.folder, 'config.json'), join(out, 'config.json'));
  await writeSafetensors(
    join(out, 'model.safetensors'),
    await Promise.all(
      [...checkpoint.tensors].map(async ([name, ref]) => {
        const data = await readTensor(changed.get(name) ?? ref);
        return { name, shape: ref.shape, dtype: 'F32' as const, data };
      }),
    ),
  );
  return openCheckpoint(out);
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
