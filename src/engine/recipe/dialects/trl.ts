// Recipes of TRL's and PEFT's scripts: names of SFTConfig, TrainingArguments, ModelConfig and LoraConfig.
// The names of TrainingArguments are ours and need no row.
import type { SettingValue } from '../../../protocol/settings';
import {
  computeType,
  type Dialect,
  elementType,
  ignored,
  optimizer,
  positiveOnly,
  reportTo,
  type Translation,
  unsupportedIfSet,
  whenTrue,
} from './translation';

/** Names of the HF Trainer that other dialects share. */
export const trainerKeys: Readonly<Record<string, Translation>> = {
  optim: optimizer,
  bf16: computeType('bfloat16'),
  fp16: computeType('float16'),
  tf32: ignored('a switch of the CUDA libraries'),
  report_to: reportTo,
  run_name: ignored('the run is named by its folder'),
  do_train: ignored('it always trains'),
  do_eval: ignored('evaluation follows from eval_dataset or val_size'),
  evaluation_strategy: 'eval_strategy',
  overwrite_output_dir: ignored('a run never overwrites another'),
  logging_strategy: ignored('logging_steps decides'),
  logging_first_step: ignored('every step is logged'),
  logging_dir: ignored("event files lie in the run's folder"),
  save_safetensors: ignored('adapters are always safetensors'),
  save_only_model: ignored('checkpoints always resume'),
  dataloader_num_workers: ignored('the data is read by one process'),
  dataset_num_proc: ignored('the data is read by one process'),
  dataloader_pin_memory: ignored('memory is ours to place'),
  remove_unused_columns: ignored('surplus columns are left alone'),
  group_by_length: unsupportedIfSet('batches grouped by length'),
  ddp_timeout: ignored('there is one process'),
  ddp_find_unused_parameters: ignored('there is one process'),
  deepspeed: unsupportedIfSet('DeepSpeed'),
  fsdp: unsupportedIfSet('FSDP'),
  fsdp_config: unsupportedIfSet('FSDP'),
  torch_compile: ignored('the graph is always compiled'),
  push_to_hub: unsupportedIfSet('an upload to the hub'),
  hub_model_id: ignored('nothing is uploaded'),
  metric_for_best_model: (value) =>
    value === 'eval_loss' || value === 'loss'
      ? { ignored: 'it is the evaluation loss' }
      : { unsupported: `the metric ${String(value)}` },
  greater_is_better: (value) =>
    value === true ? { unsupported: 'a best value that is the highest' } : { ignored: 'lower is better' },
  gradient_checkpointing_kwargs: ignored('they concern PyTorch'),
  neftune_noise_alpha: unsupportedIfSet('NEFTune noise'),
  eval_steps: positiveOnly('eval_steps'),
  save_steps: positiveOnly('save_steps'),
};

/** Details of a 4-bit base say nothing where the base is not held in 4 bits. */
const in4Bit =
  (key: string): Translation =>
  (value, all) =>
    all.load_in_4bit === true
      ? { set: { [key]: value as SettingValue } }
      : { ignored: 'load_in_4bit is off' };

export const trl: Dialect = {
  name: 'TRL/PEFT',
  markers: [
    'model_name_or_path',
    'dataset_name',
    'use_peft',
    'lora_target_modules',
    'lora_modules_to_save',
    'max_seq_length',
    'bnb_4bit_quant_type',
    'use_bnb_nested_quant',
    'assistant_only_loss',
    'completion_only_loss',
    'attn_implementation',
    'torch_dtype',
    'peft_type',
  ],
  keys: {
    ...trainerKeys,
    model_name_or_path: 'model',
    dataset_name: 'dataset',
    dataset_path: 'dataset',
    dataset_text_field: (value) =>
      value === 'text'
        ? { ignored: 'text is found by itself' }
        : { unsupported: 'another text column here; write dataset: [{path, columns: {text: …}}]' },
    dataset_config: ignored('a dataset is a file'),
    dataset_train_split: ignored('a dataset is a file'),
    dataset_test_split: ignored('give eval_dataset or val_size'),
    use_peft: (value) => ({ set: { adapter: value === false ? 'none' : 'lora' } }),
    peft_type: (value) => ({ set: { adapter: String(value).toLowerCase() } }),
    task_type: (value) =>
      value === 'CAUSAL_LM'
        ? { ignored: 'it is always CAUSAL_LM' }
        : { unsupported: `the task ${String(value)}` },
    lora_r: 'r',
    lora_target_modules: 'target_modules',
    lora_modules_to_save: 'modules_to_save',
    lora_task_type: ignored('it is always CAUSAL_LM'),
    use_dora: whenTrue({ adapter: 'dora' }),
    fan_in_fan_out: ignored('the layout is read from the model'),
    inference_mode: ignored('it concerns loading'),
    max_seq_length: 'max_length',
    truncation_mode: (value) => ({ set: { truncation: value === 'keep_end' ? 'left' : 'right' } }),
    completion_only_loss: (value) => ({ set: { train_on: value === false ? 'all' : 'completions' } }),
    assistant_only_loss: (value) => ({ set: { train_on: value === false ? 'all' : 'completions' } }),
    packing_strategy: ignored('examples are never cut to be packed'),
    eval_packing: ignored('evaluation pads'),
    dtype: elementType,
    torch_dtype: elementType,
    attn_implementation: ignored('attention is compiled in'),
    use_liger_kernel: ignored('the loss is always computed in chunks'),
    trust_remote_code: ignored('no code of a model is ever run'),
    load_in_4bit: whenTrue({ load_in_4bit: true }),
    load_in_8bit: unsupportedIfSet('a base in 8 bits (load_in_4bit holds it in 4)'),
    bnb_4bit_quant_type: in4Bit('bnb_4bit_quant_type'),
    use_bnb_nested_quant: in4Bit('bnb_4bit_use_double_quant'),
    bnb_4bit_use_double_quant: in4Bit('bnb_4bit_use_double_quant'),
    bnb_4bit_compute_dtype: ignored('dtype decides'),
    chat_template_path: 'chat_template',
    eos_token: ignored("the tokenizer's own is trained"),
  },
};
