// The settings that every recipe has, described once. In: the catalogue whose entries the axes choose from. Out: fields
// for validation, JSON schema, form and help. It must not know any variant. Long because it is one table.
import type { RecipeValues } from '../../protocol/recipe';
import type { Choice, SettingField, SettingGroup, SettingShape, SettingValue } from '../../protocol/settings';
import { columnNames } from '../data/shapes';
import { type Axis, axes, type RecipeCatalogue } from './catalogue';

/** A field without its key; `null` as default means: not set. */
type Description = SettingShape & {
  description: string;
  group: SettingGroup;
  unit?: string;
  advanced?: boolean;
  required?: boolean;
  default?: SettingValue;
};

/** One description per key of `RecipeValues`, so that the compiler finds a forgotten or surplus one. */
type Descriptions = { readonly [K in keyof RecipeValues]: Description };

const names: SettingShape = { type: 'list', items: { type: 'string' } };
const datasetSource: SettingShape = {
  type: 'object',
  fields: [
    {
      key: 'path',
      type: 'path',
      group: 'data',
      required: true,
      description: 'The file: JSONL, JSON, CSV, Parquet or text.',
    },
    {
      key: 'columns',
      type: 'object',
      fields: columnNames.map((name) => ({
        key: name,
        type: 'string',
        group: 'data',
        description: `The file's name for ${name}.`,
      })),
      group: 'data',
      default: {},
      description:
        'Where detection fails: our column → the column in the file, for example {prompt: question, completion: answer}.',
    },
  ],
};
const datasets: SettingShape = {
  type: 'union',
  options: [
    { type: 'path' },
    datasetSource,
    { type: 'list', minimumItems: 1, items: { type: 'union', options: [{ type: 'path' }, datasetSource] } },
  ],
};
const moduleNames: SettingShape = {
  type: 'union',
  options: [{ type: 'string' }, { ...names, minimumItems: 1 }],
};
const cadence: readonly Choice[] = [
  { id: 'no', label: 'Never' },
  { id: 'steps', label: 'Every given number of optimizer steps' },
  { id: 'epoch', label: 'At the end of every epoch' },
];

function descriptions(choices: (axis: Axis | 'preset') => Choice[]): Descriptions {
  return {
    model: {
      type: 'path',
      required: true,
      group: 'model',
      description: 'The base model: a Hugging Face folder (config.json, safetensors, tokenizer.json).',
    },
    dataset: {
      ...datasets,
      required: true,
      group: 'data',
      description: 'What to train on: a file, or a list of files with their columns.',
    },
    eval_dataset: {
      ...datasets,
      default: null,
      group: 'data',
      description: 'Held-out data for evaluation. Instead: val_size.',
    },
    val_size: {
      type: 'number',
      minimum: 0,
      default: 0,
      group: 'data',
      description:
        'Part of the dataset that is held out for evaluation: a fraction below 1, or a number of examples.',
    },
    output_dir: {
      type: 'path',
      default: null,
      group: 'run',
      description: "The run's folder. By default runs/<recipe name> beside the recipe.",
    },
    preset: {
      type: 'enum',
      choices: choices('preset'),
      default: null,
      group: 'adapter',
      description: 'A known combination of settings; each of them may still be given.',
    },
    adapter: {
      type: 'enum',
      choices: choices('adapter'),
      default: 'lora',
      group: 'adapter',
      description: 'What is trained.',
    },
    adapter_name_or_path: {
      type: 'path',
      default: null,
      group: 'adapter',
      advanced: true,
      description:
        'The folder of an adapter whose training goes on, with a fresh optimizer and schedule. Method, r, scaling and targets must be its own. To go on from an interrupted run use resume_from_checkpoint.',
    },
    init_lora_weights: {
      type: 'enum',
      choices: choices('init_lora_weights'),
      default: true,
      group: 'adapter',
      description: "How the adapter's matrices start.",
    },
    load_in_4bit: {
      type: 'enum',
      choices: choices('load_in_4bit'),
      default: false,
      group: 'memory',
      description: 'How the frozen linear weights are held in memory.',
    },
    optim: {
      type: 'enum',
      choices: choices('optim'),
      default: 'adamw',
      group: 'optimization',
      description: 'The optimizer.',
    },
    attention: {
      type: 'enum',
      choices: choices('attention'),
      default: 'full',
      group: 'memory',
      advanced: true,
      description: 'Which tokens a token attends to during training.',
    },
    rope_scaling: {
      type: 'enum',
      choices: [
        { id: 'none', label: 'Positions stay as the checkpoint has them' },
        {
          id: 'linear',
          label: 'Stretches rotary positions by max_length / max_position_embeddings, rounded up',
        },
      ],
      default: 'none',
      group: 'model',
      advanced: true,
      description: 'How a max_length beyond the context of the model is reached.',
    },
    dtype: {
      type: 'enum',
      choices: [
        { id: 'auto', label: 'bfloat16 on CUDA (float16 before Ampere), float32 elsewhere' },
        { id: 'float32', label: '4 bytes a weight; exact' },
        { id: 'bfloat16', label: '2 bytes a weight; wide range' },
        { id: 'float16', label: '2 bytes a weight; narrow range, dynamic loss scaling' },
      ],
      default: 'auto',
      group: 'model',
      description:
        'What products compute in, and how base weights lie in memory. Adapters, optimizer and loss are float32.',
    },
    bf16: {
      type: 'boolean',
      default: false,
      group: 'model',
      advanced: true,
      description: 'The same as dtype: bfloat16.',
    },
    fp16: {
      type: 'boolean',
      default: false,
      group: 'model',
      advanced: true,
      description: 'The same as dtype: float16.',
    },
    device: {
      type: 'enum',
      choices: [
        { id: 'auto', label: 'The fastest device that works here' },
        { id: 'cpu', label: 'The processor' },
        { id: 'cuda', label: 'An NVIDIA GPU; cuda:1 is the second', pattern: 'cuda(:[0-9]{1,2})?' },
        { id: 'webgpu', label: 'Any GPU through WebGPU' },
      ],
      default: 'auto',
      group: 'model',
      description: 'Where to compute.',
    },
    threads: {
      type: 'integer',
      minimum: 0,
      maximum: 1024,
      default: 0,
      group: 'run',
      advanced: true,
      description: 'CPU threads; 0 lets the runtime choose.',
    },
    chat_template: {
      type: 'string',
      default: null,
      group: 'data',
      advanced: true,
      description:
        "A Jinja template, or the path of a .jinja file, in place of the tokenizer's own chat template.",
    },
    r: {
      type: 'integer',
      minimum: 1,
      maximum: 65536,
      default: 16,
      group: 'adapter',
      description: "The adapter's rank: its capacity and its size. 8 to 64 is usual.",
    },
    lora_alpha: {
      type: 'number',
      exclusiveMinimum: 0,
      maximum: 1_000_000,
      default: 32,
      group: 'adapter',
      description: 'Scales the update by lora_alpha / r (by lora_alpha / √r with use_rslora).',
    },
    lora_dropout: {
      type: 'number',
      minimum: 0,
      exclusiveMaximum: 1,
      default: 0,
      group: 'adapter',
      description: "Probability of dropping an element of the adapter's input during training.",
    },
    use_rslora: {
      type: 'boolean',
      default: false,
      group: 'adapter',
      description: 'Scales by lora_alpha / √r, which keeps high ranks from learning too slowly.',
    },
    bias: {
      type: 'enum',
      choices: [
        { id: 'none', label: 'Biases stay as they are' },
        { id: 'all', label: 'All biases of the model train' },
        { id: 'lora_only', label: 'Biases of the adapted modules train' },
      ],
      default: 'none',
      group: 'adapter',
      advanced: true,
      description: 'Which biases train along.',
    },
    target_modules: {
      ...moduleNames,
      default: 'all-linear',
      group: 'adapter',
      description:
        'The modules that get an adapter: all-linear (all but the output head), a list of names (q_proj, v_proj), or a regular expression over whole paths.',
    },
    exclude_modules: {
      ...moduleNames,
      default: null,
      group: 'adapter',
      advanced: true,
      description: 'Modules that get none, as a list of names or a regular expression.',
    },
    rank_pattern: {
      type: 'map',
      values: { type: 'integer', minimum: 1, maximum: 65536 },
      default: {},
      group: 'adapter',
      advanced: true,
      description: 'Another r for some modules: name or regular expression → r.',
    },
    alpha_pattern: {
      type: 'map',
      values: { type: 'number', exclusiveMinimum: 0, maximum: 1_000_000 },
      default: {},
      group: 'adapter',
      advanced: true,
      description: 'Another lora_alpha for some modules: name or regular expression → lora_alpha.',
    },
    layers_to_transform: {
      type: 'union',
      options: [
        { type: 'integer', minimum: 0 },
        { type: 'list', items: { type: 'integer', minimum: 0 }, minimumItems: 1 },
      ],
      default: null,
      group: 'adapter',
      advanced: true,
      description: 'Only these layers get an adapter, counted from 0.',
    },
    layers_pattern: {
      ...moduleNames,
      default: null,
      group: 'adapter',
      advanced: true,
      description:
        "The name of the model's list of layers, where it is not one of the usual (layers, h, blocks).",
    },
    modules_to_save: {
      ...names,
      default: [],
      group: 'adapter',
      advanced: true,
      description:
        'Modules that train in full and are saved with the adapter, for example lm_head. all-norms and all-embeddings stand for those of the model.',
    },
    learning_rate: {
      type: 'number',
      exclusiveMinimum: 0,
      maximum: 10,
      default: 2e-4,
      group: 'optimization',
      description:
        'The highest learning rate of the schedule. 1e-4 to 5e-4 is usual for LoRA, 1e-5 to 5e-5 for full fine-tuning.',
    },
    lr_scheduler_type: {
      type: 'enum',
      choices: [
        { id: 'cosine', label: 'Falls along a half cosine to 0, after the warm-up' },
        { id: 'linear', label: 'Falls linearly to 0, after the warm-up' },
        { id: 'constant', label: 'Stays as it is, without warm-up' },
        { id: 'constant_with_warmup', label: 'Stays as it is after the warm-up' },
      ],
      default: 'cosine',
      group: 'optimization',
      description: 'How the learning rate changes over the run.',
    },
    warmup_ratio: {
      type: 'number',
      minimum: 0,
      maximum: 1,
      default: 0.03,
      group: 'optimization',
      description: 'Part of all steps over which the learning rate rises from 0.',
    },
    warmup_steps: {
      type: 'integer',
      minimum: 0,
      default: 0,
      unit: 'optimizer steps',
      group: 'optimization',
      description:
        'Steps over which the learning rate rises from 0; above 0 it takes precedence over warmup_ratio.',
    },
    weight_decay: {
      type: 'number',
      minimum: 0,
      maximum: 1,
      default: 0,
      group: 'optimization',
      description: 'Decoupled weight decay.',
    },
    adam_beta1: {
      type: 'number',
      minimum: 0,
      exclusiveMaximum: 1,
      default: 0.9,
      group: 'optimization',
      advanced: true,
      description: "Decay of Adam's first moment.",
    },
    adam_beta2: {
      type: 'number',
      minimum: 0,
      exclusiveMaximum: 1,
      default: 0.999,
      group: 'optimization',
      advanced: true,
      description: "Decay of Adam's second moment.",
    },
    adam_epsilon: {
      type: 'number',
      exclusiveMinimum: 0,
      maximum: 1,
      default: 1e-8,
      group: 'optimization',
      advanced: true,
      description: "Added to the root of Adam's second moment.",
    },
    loraplus_lr_ratio: {
      type: 'number',
      minimum: 1,
      maximum: 1_000_000,
      default: null,
      group: 'optimization',
      advanced: true,
      description:
        'LoRA+: B, and every trained vector, learns this many times as fast as A. 16 is usual, with about half the learning rate; 1 is plain LoRA.',
    },
    loraplus_lr_embedding: {
      type: 'number',
      exclusiveMinimum: 0,
      maximum: 10,
      default: null,
      group: 'optimization',
      advanced: true,
      description: 'LoRA+: the learning rate of adapters on embeddings. By default 1e-6, as in PEFT.',
    },
    max_grad_norm: {
      type: 'number',
      minimum: 0,
      default: 1,
      group: 'optimization',
      advanced: true,
      description: 'The norm of all gradients together is clipped to this; 0 switches clipping off.',
    },
    per_device_train_batch_size: {
      type: 'integer',
      minimum: 1,
      maximum: 65536,
      default: 2,
      unit: 'examples',
      group: 'optimization',
      description: 'Examples that go through the model at once; decides the memory for activations.',
    },
    gradient_accumulation_steps: {
      type: 'integer',
      minimum: 1,
      maximum: 65536,
      default: 8,
      group: 'optimization',
      description: 'Batches per optimizer step. The loss is that of one big batch.',
    },
    num_train_epochs: {
      type: 'number',
      exclusiveMinimum: 0,
      default: 3,
      unit: 'epochs',
      group: 'optimization',
      description: 'How often the whole dataset is seen.',
    },
    max_steps: {
      type: 'integer',
      minimum: -1,
      default: -1,
      unit: 'optimizer steps',
      group: 'optimization',
      description:
        'Ends after this many steps, whatever num_train_epochs says; -1 leaves it to num_train_epochs.',
    },
    max_length: {
      type: 'integer',
      minimum: 2,
      maximum: 4194304,
      default: 2048,
      unit: 'tokens',
      group: 'data',
      description: 'The longest sequence; truncation says what happens to longer ones.',
    },
    truncation: {
      type: 'enum',
      choices: [
        { id: 'right', label: 'Cuts the end off' },
        { id: 'left', label: 'Cuts the start off, so that answers stay' },
        { id: 'drop', label: 'Leaves the row out' },
        { id: 'error', label: 'Refuses the dataset' },
      ],
      default: 'right',
      group: 'data',
      description: 'What happens to rows longer than max_length; the run says how many there were.',
    },
    packing: {
      type: 'boolean',
      default: false,
      group: 'data',
      description: 'Puts several examples into one sequence, without attention across them; saves padding.',
    },
    train_on: {
      type: 'enum',
      choices: [
        { id: 'completions', label: "Completions and the assistant's turns" },
        { id: 'assistant', label: 'The same, by the name that chat data knows it by' },
        { id: 'all', label: 'Every token' },
      ],
      default: 'completions',
      group: 'data',
      description: 'Which tokens the loss counts.',
    },
    text_split: {
      type: 'enum',
      choices: [
        { id: 'window', label: 'The whole file is one stream, cut into windows of max_length' },
        { id: 'blank_line', label: 'One row per block between blank lines' },
        { id: 'line', label: 'One row per line' },
      ],
      default: 'window',
      group: 'data',
      advanced: true,
      description: 'How plain text files become rows.',
    },
    shuffle: {
      type: 'boolean',
      default: true,
      group: 'data',
      advanced: true,
      description: 'Draws a new order of the examples in every epoch.',
    },
    gradient_checkpointing: {
      type: 'enum',
      choices: [
        { id: 'none', label: 'Keeps all activations: fastest' },
        { id: 'selective', label: 'Computes the cheap ones again: little time, less memory' },
        { id: 'full', label: 'Computes each layer again: about a third slower, least memory' },
        { id: true, label: 'The same as full' },
        { id: false, label: 'The same as none' },
      ],
      default: 'selective',
      group: 'memory',
      description: 'Which activations the backward pass computes again instead of keeping them.',
    },
    per_device_eval_batch_size: {
      type: 'integer',
      minimum: 1,
      maximum: 65536,
      default: null,
      unit: 'examples',
      group: 'evaluation',
      advanced: true,
      description: 'Examples at once during evaluation. By default per_device_train_batch_size.',
    },
    eval_strategy: {
      type: 'enum',
      choices: cadence,
      default: null,
      group: 'evaluation',
      description:
        'When to evaluate. By default: steps if eval_steps is given, else at every epoch if there is evaluation data.',
    },
    eval_steps: {
      type: 'integer',
      minimum: 1,
      default: null,
      unit: 'optimizer steps',
      group: 'evaluation',
      description: 'Evaluates every this many steps.',
    },
    save_strategy: {
      type: 'enum',
      choices: cadence,
      default: null,
      group: 'run',
      advanced: true,
      description:
        'When to write a checkpoint. By default: steps if save_steps is given, else at every epoch.',
    },
    save_steps: {
      type: 'integer',
      minimum: 1,
      default: null,
      unit: 'optimizer steps',
      group: 'run',
      description: 'Writes a checkpoint every this many steps.',
    },
    save_total_limit: {
      type: 'integer',
      minimum: 1,
      default: null,
      unit: 'checkpoints',
      group: 'run',
      description: 'Keeps this many checkpoints; the newest and the best are always kept.',
    },
    load_best_model_at_end: {
      type: 'boolean',
      default: false,
      group: 'evaluation',
      description: 'The adapter that is kept is the one with the lowest evaluation loss, not the last.',
    },
    early_stopping_patience: {
      type: 'integer',
      minimum: 1,
      default: null,
      unit: 'evaluations',
      group: 'evaluation',
      description: 'Stops after this many evaluations without a better loss.',
    },
    early_stopping_threshold: {
      type: 'number',
      minimum: 0,
      default: 0,
      group: 'evaluation',
      advanced: true,
      description: 'How much lower a loss must be to count as better.',
    },
    logging_steps: {
      type: 'integer',
      minimum: 1,
      default: 1,
      unit: 'optimizer steps',
      group: 'run',
      advanced: true,
      description: 'Writes the loss every this many steps.',
    },
    sample_prompts: {
      ...names,
      default: [],
      group: 'evaluation',
      description: 'Prompts that are completed at every evaluation, to see how the writing changes.',
    },
    seed: {
      type: 'integer',
      minimum: 0,
      maximum: 4294967295,
      default: 42,
      group: 'run',
      description: 'Decides the initial tensors, the dropout and the order of the data.',
    },
    data_seed: {
      type: 'integer',
      minimum: 0,
      maximum: 4294967295,
      default: null,
      group: 'run',
      advanced: true,
      description: 'Decides the order of the data alone. By default seed.',
    },
    report_to: {
      type: 'enum',
      choices: [
        { id: 'tensorboard', label: "TensorBoard event files in the run's folder" },
        { id: 'none', label: 'Only our own files' },
      ],
      default: 'tensorboard',
      group: 'run',
      advanced: true,
      description: 'For which other program the curves are written too.',
    },
    resume_from_checkpoint: {
      type: 'union',
      options: [{ type: 'boolean' }, { type: 'path' }],
      default: false,
      group: 'run',
      advanced: true,
      description: "Goes on from the run's newest checkpoint (true) or from a checkpoint's folder.",
    },
  };
}

/** The settings of every recipe, with the catalogue's entries as the choices of the axes. */
export function coreFields(catalogue: RecipeCatalogue): SettingField[] {
  const described = descriptions((axis) => {
    const entries = axis === 'preset' ? catalogue.presets : catalogue[axis];
    return entries.map((entry) => ({
      id: entry.id,
      label: entry.label,
      ...('pattern' in entry && entry.pattern !== undefined ? { pattern: entry.pattern } : {}),
    }));
  });
  return Object.entries(described).map(([key, description]) => ({ key, ...description }));
}

/** Every setting that a recipe may hold: the common ones, then those of the catalogue's entries, each key once. */
export function recipeFields(catalogue: RecipeCatalogue): SettingField[] {
  const fields = new Map(coreFields(catalogue).map((field) => [field.key, field]));
  for (const axis of axes) {
    for (const entry of catalogue[axis]) {
      for (const field of entry.fields) if (!fields.has(field.key)) fields.set(field.key, field);
    }
  }
  return [...fields.values()];
}
