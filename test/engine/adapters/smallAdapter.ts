// An adapter of one module for tests of its files: in memory, as PEFT's config, and as weights whose numbers nobody reads.
import { loraConfig } from '../../../src/engine/adapters/peftConfig';
import { tensorName } from '../../../src/engine/adapters/peftNames';
import type { AdapterToWrite } from '../../../src/engine/adapters/peftWriting';
import { rawSafetensors } from '../files/scratch';

export const q = 'model.layers.0.self_attn.q_proj';
export const values = (n: number, from = 0) => Float32Array.from({ length: n }, (_, i) => Math.sin(i + from));

export function adapter(more: Partial<AdapterToWrite> = {}): AdapterToWrite {
  return {
    config: loraConfig({
      r: 2,
      lora_alpha: 4.5,
      target_modules: ['q_proj'],
      task_type: 'CAUSAL_LM',
      base_model_name_or_path: 'org/base',
      modules_to_save: ['norm'],
    }),
    tensors: [
      { name: tensorName(q, 'lora_A.weight'), shape: [2, 3], data: values(6) },
      { name: tensorName(q, 'lora_B.weight'), shape: [4, 2], data: async () => values(8, 6) },
      { name: tensorName('model.norm', 'weight'), shape: [3], data: values(3, 14) },
    ],
    ...more,
  };
}

export const A = tensorName(q, 'lora_A.weight');
export const B = tensorName(q, 'lora_B.weight');
const a32 = { dtype: 'F32', shape: [2, 3], data_offsets: [0, 24] };
const b32 = { dtype: 'F32', shape: [4, 2], data_offsets: [24, 56] };
const header = {
  [`base_model.model.${q}.lora_A.default.weight`]: a32,
  [`base_model.model.${q}.lora_B.default.weight`]: b32,
};
export const config = (more: object = {}) =>
  JSON.stringify({ peft_type: 'LORA', r: 2, target_modules: ['q_proj'], ...more });
export const weights = rawSafetensors(header, 56);
