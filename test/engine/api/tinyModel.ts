// A tiny random model with a real tokenizer, as a folder.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensors } from '../../../src/engine/checkpoint/safetensors';
import { elements } from '../../../src/engine/dtype';
import { modelTensors } from '../../../src/engine/models/architecture';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { Random } from '../../../src/engine/random';

export const tinyConfig = {
  model_type: 'llama',
  architectures: ['LlamaForCausalLM'],
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  vocab_size: 512,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: false,
};

/** Writes config, random weights and the tests' tokenizer into an existing folder. */
export async function writeTinyModel(
  folder: string,
  change: Record<string, unknown> = {},
  dtype: 'F32' | 'BF16' = 'F32',
): Promise<void> {
  const config = { ...tinyConfig, ...change };
  const random = new Random(3, 'tiny model');
  const tensors = modelTensors(modelFromConfig(config)).map(({ name, shape }) => ({
    name,
    shape,
    dtype,
    data: Float32Array.from({ length: elements(shape) }, () => 0.3 * random.normal()),
  }));
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  await writeSafetensors(join(folder, 'model.safetensors'), tensors);
  cpSync(join('test', 'fixtures', 'data', 'tiny-bpe'), folder, { recursive: true });
}
