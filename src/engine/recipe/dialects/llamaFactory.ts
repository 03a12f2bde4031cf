// Recipes of LLaMA-Factory. Its datasets are names in dataset_info.json; importing resolves them (datasetInfo.ts).
import type { SettingValue } from '../../../protocol/settings';
import {
  asList,
  type Dialect,
  elementType,
  ignored,
  type Translated,
  unsupportedIfSet,
  whenTrue,
} from './translation';
import { trainerKeys } from './trl';

const modules = (value: unknown): Translated => {
  const names = asList(value);
  return { set: { target_modules: names.includes('all') ? 'all-linear' : names } };
};

/** Details of a quantised base say nothing without quantization_bit. */
const inBits =
  (key: string) =>
  (value: unknown, all: Readonly<Record<string, unknown>>): Translated =>
    all.quantization_bit === 4
      ? { set: { [key]: value as SettingValue } }
      : { ignored: 'quantization_bit is not 4' };

export const llamaFactory: Dialect = {
  name: 'LLaMA-Factory',
  markers: [
    'stage',
    'finetuning_type',
    'lora_target',
    'lora_rank',
    'cutoff_len',
    'template',
    'dataset_dir',
    'quantization_bit',
    'preprocessing_num_workers',
    'overwrite_cache',
    'plot_loss',
    'max_samples',
    'pissa_init',
    'neat_packing',
  ],
  keys: {
    ...trainerKeys,
    model_name_or_path: 'model',
    adapter_name_or_path: (value, all) => {
      if (value === null || value === undefined || value === '') return { ignored: 'off' };
      if (String(value).includes(','))
        return { unsupported: 'several adapters (merge all but the last into the base)' };
      // LLaMA-Factory merges it into the base then, and trains a new one.
      return all.create_new_adapter === true
        ? { unsupported: 'create_new_adapter (merge the adapter into the base first)' }
        : { set: { adapter_name_or_path: value as SettingValue } };
    },
    create_new_adapter: ignored('taken with adapter_name_or_path'),
    stage: (value) =>
      value === 'sft' || value === 'pt'
        ? { set: value === 'pt' ? { train_on: 'all' } : {} }
        : { unsupported: `stage: ${String(value)}` },
    finetuning_type: (value) => {
      if (value === 'lora') return { set: { adapter: 'lora' } };
      if (value === 'full') return { set: { adapter: 'none' } };
      return { unsupported: `finetuning_type: ${String(value)}` };
    },
    lora_rank: 'r',
    lora_target: modules,
    additional_target: (value) => ({ set: { modules_to_save: asList(value) } }),
    use_dora: whenTrue({ adapter: 'dora' }),
    pissa_init: (value, all) =>
      value === true
        ? {
            set: {
              init_lora_weights:
                typeof all.pissa_iter === 'number' && all.pissa_iter > 0
                  ? `pissa_niter_${all.pissa_iter}`
                  : 'pissa',
            },
          }
        : { ignored: 'off' },
    pissa_iter: ignored('taken with pissa_init'),
    pissa_convert: unsupportedIfSet('pissa_convert'),
    use_galore: whenTrue({ optim: 'galore_adamw' }),
    galore_target: (value) => ({
      set: { optim_target_modules: value === 'all' ? 'all-linear' : asList(value) },
    }),
    galore_layerwise: unsupportedIfSet('layerwise GaLore'),
    shift_attn: whenTrue({ attention: 'shift_short' }),
    rope_scaling: (value) =>
      value === null || value === 'linear'
        ? { set: { rope_scaling: value ?? 'none' } }
        : { unsupported: `rope_scaling: ${String(value)}` },
    dataset_dir: ignored('taken with dataset'),
    template: ignored(
      "the tokenizer's own chat template is used; check that it is this one, or set chat_template",
    ),
    cutoff_len: 'max_length',
    max_samples: unsupportedIfSet('a limit on the samples'),
    train_on_prompt: (value) => ({ set: { train_on: value === true ? 'all' : 'completions' } }),
    mask_history: unsupportedIfSet('training on the last turn alone'),
    neat_packing: whenTrue({ packing: true }),
    overwrite_cache: ignored('nothing is cached'),
    preprocessing_num_workers: ignored('the data is read by one process'),
    plot_loss: ignored('the panels and TensorBoard show the curves'),
    quantization_bit: (value, all) => {
      if (value === null) return { ignored: 'off' };
      if (value !== 4) return { unsupported: `a base in ${String(value)} bits (4 can be had)` };
      return { set: { load_in_4bit: true, bnb_4bit_use_double_quant: all.double_quantization !== false } };
    },
    quantization_method: (value) =>
      ['bnb', 'bitsandbytes'].includes(String(value))
        ? { ignored: 'as here' }
        : { unsupported: `quantization_method: ${String(value)}` },
    quantization_type: inBits('bnb_4bit_quant_type'),
    double_quantization: inBits('bnb_4bit_use_double_quant'),
    flash_attn: ignored('attention is compiled in'),
    enable_liger_kernel: ignored('the loss is always computed in chunks'),
    disable_gradient_checkpointing: (value) => ({ set: { gradient_checkpointing: value !== true } }),
    infer_dtype: ignored('it concerns inference'),
    compute_dtype: elementType,
    pure_bf16: whenTrue({ dtype: 'bfloat16' }),
    trust_remote_code: ignored('no code of a model is ever run'),
    use_fast_tokenizer: ignored('tokenizer.json is used'),
    early_stopping_steps: 'early_stopping_patience',
    val_size: (value) => ({ set: { val_size: value as SettingValue } }),
    include_num_input_tokens_seen: ignored('tokens are always counted'),
    use_unsloth: ignored('another implementation of the same'),
    use_swanlab: ignored('only TensorBoard files are written'),
    mix_strategy: (value) =>
      value === 'concat' ? { ignored: 'as here' } : { unsupported: `mix_strategy: ${String(value)}` },
    packing: 'packing',
  },
};
