// A tiny model with random weights, its tokenizer and data in a temporary folder, and recipes over them: what tests of whole
// runs start from.
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { catalogue } from '../../../src/engine/catalogue';
import { writeSafetensors } from '../../../src/engine/checkpoint/safetensors';
import { elements } from '../../../src/engine/dtype';
import { modelTensors } from '../../../src/engine/models/architecture';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';
import { loadRecipe } from '../../../src/engine/recipe/load';
import { train } from '../../../src/engine/train/run';
import type { RunEvent } from '../../../src/protocol/run';
import type { EngineHost, TrainerEvent } from '../../../src/protocol/trainer';

export const tinyConfig = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 1024,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
  tie_word_embeddings: true,
  eos_token_id: 0,
};

/** Makes the folder; `clean` removes it. */
export async function tinyWorkspace(
  config: Record<string, unknown> = tinyConfig,
): Promise<{ folder: string; clean: () => void }> {
  const folder = mkdtempSync(join(tmpdir(), 'lora-workbench-run-'));
  const base = join(folder, 'base');
  mkdirSync(base);
  writeFileSync(join(base, 'config.json'), JSON.stringify(config));
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(join('samples', 'base', name), join(base, name));
  const random = new Random(11);
  await writeSafetensors(
    join(base, 'model.safetensors'),
    modelTensors(modelFromConfig(config)).map(({ name, shape }) => ({
      name,
      shape,
      dtype: 'F32' as const,
      data: Float32Array.from({ length: elements(shape) }, () =>
        shape.length === 1 ? 1 : 0.15 * random.normal(),
      ),
    })),
    { format: 'pt' },
  );
  const rows = Array.from({ length: 23 }, (_, i) => ({
    prompt: `Say ${i}: `,
    completion: `the number ${i * i} is the square of ${i}.`,
  }));
  writeFileSync(join(folder, 'train.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  writeFileSync(
    join(folder, 'eval.jsonl'),
    rows
      .slice(0, 5)
      .map((row) => JSON.stringify(row))
      .join('\n'),
  );
  return { folder, clean: () => rmSync(folder, { recursive: true, force: true }) };
}

/** A host that collects events and can be told to stop. */
export class TestHost implements EngineHost {
  readonly events: TrainerEvent[] = [];
  stopRequested = false;
  cancelRequested = false;
  checkpointRequested = false;

  constructor(private readonly on?: (event: TrainerEvent, host: TestHost) => void) {}

  emit(event: TrainerEvent): void {
    this.events.push(event);
    this.on?.(event, this);
  }

  takeCheckpointRequest(): boolean {
    const asked = this.checkpointRequested;
    this.checkpointRequested = false;
    return asked;
  }

  of<T extends RunEvent['type']>(type: T): Extract<RunEvent, { type: T }>[] {
    return this.events.filter((event): event is Extract<RunEvent, { type: T }> => event.type === type);
  }
}

/** A recipe in a tiny workspace by a few settings over small defaults, validated. */
export function tinyRecipe(folder: string, settings: Record<string, unknown>) {
  const recipe = {
    model: 'base',
    dataset: 'train.jsonl',
    r: 4,
    lora_alpha: 8,
    learning_rate: 5e-3,
    max_length: 64,
    per_device_train_batch_size: 2,
    gradient_accumulation_steps: 2,
    num_train_epochs: 2,
    threads: 1,
    ...settings,
  };
  const file = join(folder, 'tiny.lora.json');
  writeFileSync(file, JSON.stringify(recipe));
  return loadRecipe(file, catalogue);
}

/** Trains by it. */
export async function trainTiny(
  folder: string,
  settings: Record<string, unknown>,
  host: EngineHost = new TestHost(),
) {
  const { recipe, notes } = tinyRecipe(folder, settings);
  return train({ recipe, notes }, host);
}
