// Recipes of Axolotl.
import type { SettingValue } from '../../../protocol/settings';
import { isMapping } from '../shapes';
import {
  computeType,
  type Dialect,
  ignored,
  optimizer,
  type Translated,
  unsupportedIfSet,
  whenTrue,
} from './translation';
import { trainerKeys } from './trl';

/** Dataset types → the columns that make that shape here, so that no other shape is detected. */
const shapes: Readonly<Record<string, (item: Record<string, unknown>) => Record<string, string>>> = {
  alpaca: () => ({ instruction: 'instruction', output: 'output' }),
  chat_template: (item) => ({ messages: String(item.field_messages ?? 'messages') }),
  sharegpt: (item) => ({
    conversations: String(item.conversation_field ?? item.field_messages ?? 'conversations'),
  }),
  completion: (item) => ({ text: String(item.field ?? 'text') }),
};

/** `datasets: [{path, type, …}]` and `test_datasets`. */
function datasets(key: string) {
  return (value: unknown): Translated => {
    if (!Array.isArray(value)) return { set: { [key]: value as SettingValue } };
    const sources: SettingValue[] = [];
    for (const item of value) {
      if (!isMapping(item)) {
        sources.push(String(item));
        continue;
      }
      const { path, type, data_files: files } = item;
      if (isMapping(type))
        return { unsupported: `${key} with a type that is a mapping; write columns instead` };
      const columnsOf = shapes[String(type).split('.')[0]!];
      if (type !== undefined && columnsOf === undefined)
        return { unsupported: `the dataset type ${String(type)}` };
      // Plain text has no columns to choose by.
      for (const file of files === undefined ? [path] : Array.isArray(files) ? files : [files]) {
        const isText = /\.(txt|md)$/i.test(String(file));
        sources.push({ path: String(file), columns: isText ? {} : (columnsOf?.(item) ?? {}) });
      }
    }
    return { set: { [key]: sources } };
  };
}

/** Evaluations or checkpoints per epoch: 1 is ours; more would need the number of steps. */
const perEpoch =
  (strategy: string, steps: string) =>
  (value: unknown): Translated => {
    if (value === 0 || value === null || value === false) return { set: { [strategy]: 'no' } };
    if (value === 1) return { set: { [strategy]: 'epoch' } };
    return { unsupported: `${String(value)} times an epoch; write ${steps}` };
  };

/** Axolotl's own choice for a base in 4 bits. */
const inFourBits = { load_in_4bit: true, bnb_4bit_quant_type: 'nf4', bnb_4bit_use_double_quant: true };

export const axolotl: Dialect = {
  name: 'Axolotl',
  markers: [
    'base_model',
    'micro_batch_size',
    'sequence_len',
    'sample_packing',
    'num_epochs',
    'lora_target_linear',
    'val_set_size',
    'datasets',
    'evals_per_epoch',
    'saves_per_epoch',
    'train_on_inputs',
    'dataset_prepared_path',
    'pad_to_sequence_len',
  ],
  keys: {
    ...trainerKeys,
    base_model: 'model',
    base_model_config: ignored("the folder's own config.json is read"),
    model_type: ignored('config.json tells'),
    tokenizer_type: ignored('tokenizer.json tells'),
    tokenizer_config: ignored("the model's own tokenizer is used"),
    is_llama_derived_model: ignored('config.json tells'),
    trust_remote_code: ignored('no code of a model is ever run'),
    strict: ignored('it is always strict'),
    load_in_4bit: whenTrue(inFourBits),
    load_in_8bit: unsupportedIfSet('a base in 8 bits (load_in_4bit holds it in 4)'),
    datasets: datasets('dataset'),
    test_datasets: datasets('eval_dataset'),
    dataset_prepared_path: ignored('nothing is prepared on disk'),
    dataset_processes: ignored('the data is read by one process'),
    shuffle_merged_datasets: 'shuffle',
    val_set_size: 'val_size',
    adapter: (value) =>
      value === null || value === undefined || value === ''
        ? { set: { adapter: 'none' } }
        : value === 'qlora'
          ? { set: { adapter: 'lora', ...inFourBits } }
          : { set: { adapter: String(value) } },
    lora_model_dir: 'adapter_name_or_path',
    lora_r: 'r',
    lora_target_linear: whenTrue({ target_modules: 'all-linear' }),
    lora_target_modules: (value, all) =>
      all.lora_target_linear === true || value === null
        ? { ignored: 'lora_target_linear takes all' }
        : { set: { target_modules: value as SettingValue } },
    lora_modules_to_save: 'modules_to_save',
    lora_fan_in_fan_out: ignored('the layout is read from the model'),
    lora_mlp_kernel: ignored('the graph is always compiled'),
    lora_qkv_kernel: ignored('the graph is always compiled'),
    lora_o_kernel: ignored('the graph is always compiled'),
    peft_use_dora: whenTrue({ adapter: 'dora' }),
    peft_use_rslora: 'use_rslora',
    peft_layers_to_transform: 'layers_to_transform',
    peft_init_lora_weights: 'init_lora_weights',
    sequence_len: 'max_length',
    sample_packing: 'packing',
    eval_sample_packing: ignored('evaluation pads'),
    pad_to_sequence_len: ignored('batches are padded as little as possible'),
    excess_length_strategy: (value) => ({
      set: { truncation: value === 'truncate' ? 'right' : 'drop' },
    }),
    train_on_inputs: (value) => ({ set: { train_on: value === true ? 'all' : 'completions' } }),
    micro_batch_size: 'per_device_train_batch_size',
    eval_batch_size: 'per_device_eval_batch_size',
    num_epochs: 'num_train_epochs',
    optimizer,
    lr_scheduler: 'lr_scheduler_type',
    bf16: (value) =>
      value === 'auto'
        ? { ignored: 'dtype: auto is used' }
        : value === true
          ? { set: { dtype: 'bfloat16' } }
          : { ignored: 'off' },
    bfloat16: computeType('bfloat16'),
    float16: computeType('float16'),
    gradient_checkpointing: (value) => ({
      set: { gradient_checkpointing: value === 'offload' ? true : (value as SettingValue) },
    }),
    evals_per_epoch: perEpoch('eval_strategy', 'eval_steps'),
    saves_per_epoch: perEpoch('save_strategy', 'save_steps'),
    flash_attention: ignored('attention is compiled in'),
    sdp_attention: ignored('attention is compiled in'),
    xformers_attention: ignored('attention is compiled in'),
    s2_attention: whenTrue({ attention: 'shift_short' }),
    chat_template: (value) =>
      value === 'tokenizer_default' || value === null
        ? { ignored: "the tokenizer's own is used" }
        : {
            unsupported: `the built-in template ${String(value)}; give chat_template the path of a .jinja file`,
          },
    chat_template_jinja: 'chat_template',
    special_tokens: (value) =>
      isMapping(value) && Object.keys(value).some((key) => key !== 'pad_token' && value[key] !== null)
        ? { unsupported: 'changed special tokens' }
        : { ignored: 'padding is never trained' },
    tokens: unsupportedIfSet('added tokens'),
    rl: unsupportedIfSet('preference training'),
    wandb_project: ignored('only TensorBoard files are written'),
    wandb_entity: ignored('only TensorBoard files are written'),
    wandb_watch: ignored('only TensorBoard files are written'),
    wandb_name: ignored('only TensorBoard files are written'),
    wandb_run_id: ignored('only TensorBoard files are written'),
    wandb_log_model: ignored('only TensorBoard files are written'),
    local_rank: ignored('there is one process'),
    debug: ignored('it changes nothing in the result'),
    auto_resume_from_checkpoints: 'resume_from_checkpoint',
  },
};
