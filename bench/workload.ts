// What both sides of the benchmark train: a Llama-shaped model with random weights, LoRA r=8 on all linears, random tokens.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AdapterPlan, planAdapter } from '../src/engine/adapters/plan';
import { type AdapterSettings, bareSettings } from '../src/engine/adapters/settings';
import { writeSafetensors } from '../src/engine/checkpoint/safetensors';
import type { Batch } from '../src/engine/data';
import { elements } from '../src/engine/dtype';
import { type Model, modelTensors } from '../src/engine/models/architecture';
import { modelFromConfig } from '../src/engine/models/registry';
import { Random } from '../src/engine/random';
import { plainTrainer, type TrainerSettings } from '../src/engine/train/trainer';

export const adapterSettings: AdapterSettings = {
  ...bareSettings('lora'),
  r: 8,
  lora_alpha: 16,
  target_modules: 'all-linear',
};

export function trainerSettings(checkpointing: TrainerSettings['gradient_checkpointing']): TrainerSettings {
  return { ...plainTrainer, gradient_checkpointing: checkpointing };
}

export function benchModel(config: Record<string, unknown>): { model: Model; plan: AdapterPlan } {
  const model = modelFromConfig(config);
  return { model, plan: planAdapter(model, adapterSettings) };
}

/** A checkpoint folder with random fp32 weights; `remove` deletes it. */
export async function randomCheckpoint(
  config: Record<string, unknown>,
): Promise<{ folder: string; remove: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'lora-workbench-bench-'));
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  const random = new Random(1, 'bench');
  await writeSafetensors(
    join(folder, 'model.safetensors'),
    modelTensors(modelFromConfig(config)).map(({ name, shape }) => ({
      name,
      shape,
      dtype: 'F32' as const,
      data: async () => {
        const data = new Float32Array(elements(shape));
        for (let i = 0; i < data.length; i++)
          data[i] = shape.length === 1 ? 1 : 0.07 * (random.uniform() - 0.5);
        return data;
      },
    })),
    { format: 'pt' },
  );
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Random tokens, all of them trained. */
export function randomBatch(random: Random, rows: number, length: number, vocabulary: number): Batch {
  const count = rows * length;
  const ids = Int32Array.from({ length: count }, () => random.below(vocabulary));
  const targets = Int32Array.from(ids, (_, i) => ((i + 1) % length === 0 ? -100 : ids[i + 1]!));
  return {
    rows,
    length,
    ids,
    targets,
    positions: Int32Array.from(ids, (_, i) => i % length),
    segments: new Int32Array(count).fill(1),
    trainedTokens: count - rows,
    tokens: count,
    sourceRows: [],
  };
}
