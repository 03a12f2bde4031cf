// One real training step on an open runtime: LoRA on a tiny Llama of random weights, written to a temporary folder and read
// back as any checkpoint, so that everything a run needs is tried.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planAdapter } from '../adapters/plan';
import { type AdapterSettings, bareSettings } from '../adapters/settings';
import { openCheckpoint } from '../checkpoint/folder';
import { writeSafetensors } from '../checkpoint/safetensors';
import { elements } from '../dtype';
import { modelTensors } from '../models/architecture';
import { modelFromConfig } from '../models/registry';
import { Random } from '../random';
import type { Runtime } from '../session';
import { plainTrainer, Trainer } from '../train/trainer';
import { BaseWeights } from './baseWeights';

const config = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  hidden_size: 64,
  intermediate_size: 128,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 256,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: true,
};

const adapter: AdapterSettings = {
  ...bareSettings('lora'),
  r: 4,
  lora_alpha: 8,
  lora_dropout: 0.1,
  target_modules: 'all-linear',
};

const [rows, length] = [2, 32];

export interface TrialStep {
  /** Of the second step, after one update; the same on every device but for rounding. */
  loss: number;
  /** Of the second step, the first one's compilation left out. */
  milliseconds: number;
}

/** Raises whatever the device raises. Leaves nothing behind. */
export async function trialStep(runtime: Runtime): Promise<TrialStep> {
  const folder = await mkdtemp(join(tmpdir(), 'lora-workbench-trial-'));
  try {
    const model = modelFromConfig(config);
    const random = new Random(1, 'trial');
    const tensors = modelTensors(model).map(({ name, shape }) => ({
      name,
      shape,
      dtype: 'F32' as const,
      data: Float32Array.from({ length: elements(shape) }, () =>
        shape.length === 1 ? 1 : 0.1 * random.normal(),
      ),
    }));
    await writeFile(join(folder, 'config.json'), JSON.stringify(config));
    await writeSafetensors(join(folder, 'model.safetensors'), tensors);
    const weights = BaseWeights.of(runtime, await openCheckpoint(folder), model);
    const trainer = await Trainer.create({
      runtime,
      model,
      weights,
      plan: planAdapter(model, adapter),
      largestBatchTokens: rows * length,
      settings: plainTrainer,
    });
    try {
      const step = async (number: number): Promise<number> => {
        const micro = await trainer.startMicroStep(batch, rows * length, false, number);
        const norm = await trainer.startUpdate(number, 1e-2);
        await norm();
        return (await micro()).loss;
      };
      await step(1);
      const started = performance.now();
      const loss = await step(2);
      return { loss, milliseconds: performance.now() - started };
    } finally {
      trainer.release();
      weights.release();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const ids = Int32Array.from({ length: rows * length }, (_, i) => (i * 37) % config.vocab_size);
const batch = {
  rows,
  length,
  ids,
  targets: ids.map((id) => (id + 37) % config.vocab_size),
  positions: ids.map((_, i) => i % length),
  segments: new Int32Array(ids.length).fill(1),
  trainedTokens: ids.length,
  tokens: ids.length,
  sourceRows: [],
};
