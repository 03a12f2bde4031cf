// A validated recipe: every setting present, paths absolute, defaults filled in. Names are PEFT's and the HF Trainer's.
import type { SettingValue } from './settings';

/** One dataset file. */
export interface DatasetSource {
  /** Absolute. */
  path: string;
  /** Our column name (for example `prompt`) → the file's column name. Empty: detect. */
  columns: Record<string, string>;
}

export type GradientCheckpointing = 'none' | 'selective' | 'full';
export type Schedule = 'constant' | 'linear' | 'cosine' | 'constant_with_warmup';
export type Cadence = 'no' | 'steps' | 'epoch';

/** The settings that every recipe has, whatever its axes. */
export interface RecipeValues {
  // Base
  model: string;
  /** What products compute in; adapters, optimizer state and the loss are fp32 always. */
  dtype: 'auto' | 'float32' | 'bfloat16' | 'float16';
  /** The HF Trainer's word for `dtype: bfloat16`. */
  bf16: boolean;
  /** The HF Trainer's word for `dtype: float16`. */
  fp16: boolean;
  /** `auto`, `cpu`, `cuda`, `cuda:1`, `webgpu`. */
  device: string;
  /** CPU threads; 0 lets the runtime choose. */
  threads: number;
  /** Holds the frozen linear weights in 4 bits. */
  load_in_4bit: boolean;
  attention: string;
  /** `linear` stretches rotary positions where `max_length` is beyond the model's context. */
  rope_scaling: 'none' | 'linear';
  chat_template: string | null;

  // Adapter
  preset: string | null;
  adapter: string;
  /** An adapter whose tensors training goes on from, with a fresh optimizer; null for a new one. */
  adapter_name_or_path: string | null;
  init_lora_weights: boolean | string;
  r: number;
  lora_alpha: number;
  lora_dropout: number;
  use_rslora: boolean;
  bias: 'none' | 'all' | 'lora_only';
  /** `all-linear`, a regular expression over whole module paths, or name suffixes. */
  target_modules: string | readonly string[];
  exclude_modules: string | readonly string[] | null;
  rank_pattern: Record<string, number>;
  alpha_pattern: Record<string, number>;
  layers_to_transform: readonly number[] | null;
  layers_pattern: readonly string[] | null;
  modules_to_save: readonly string[];

  // Data
  dataset: readonly DatasetSource[];
  eval_dataset: readonly DatasetSource[];
  /** A fraction below 1, or a count of examples; 0 for none. */
  val_size: number;
  /** Tokens. */
  max_length: number;
  /** `right` cuts the end off, `left` the start; `drop` leaves the row out, `error` refuses the dataset. */
  truncation: 'right' | 'left' | 'drop' | 'error';
  packing: boolean;
  /** `assistant` means `completions`, by the name that chat data knows it by. */
  train_on: 'completions' | 'assistant' | 'all';
  /** How plain text becomes rows. */
  text_split: 'window' | 'blank_line' | 'line';
  shuffle: boolean;

  // Optimization
  optim: string;
  learning_rate: number;
  lr_scheduler_type: Schedule;
  /** Fraction of all optimizer steps. */
  warmup_ratio: number;
  /** Optimizer steps; where above 0 it takes precedence over `warmup_ratio`. */
  warmup_steps: number;
  weight_decay: number;
  adam_beta1: number;
  adam_beta2: number;
  adam_epsilon: number;
  /** LoRA+: how many times faster B learns than A; null for the same rate. */
  loraplus_lr_ratio: number | null;
  /** LoRA+: the rate of embedding adapters; null for PEFT's 1e-6. */
  loraplus_lr_embedding: number | null;
  /** 0 switches clipping off. */
  max_grad_norm: number;
  per_device_train_batch_size: number;
  gradient_accumulation_steps: number;
  num_train_epochs: number;
  /** Optimizer steps; -1 leaves the length to `num_train_epochs`. */
  max_steps: number;
  gradient_checkpointing: GradientCheckpointing;

  // Evaluation and saving
  per_device_eval_batch_size: number;
  eval_strategy: Cadence;
  /** Optimizer steps between evaluations where `eval_strategy` is `steps`. */
  eval_steps: number | null;
  save_strategy: Cadence;
  /** Optimizer steps between checkpoints where `save_strategy` is `steps`. */
  save_steps: number | null;
  save_total_limit: number | null;
  load_best_model_at_end: boolean;
  early_stopping_patience: number | null;
  early_stopping_threshold: number;
  logging_steps: number;
  /** Prompts completed at every evaluation, to see how the writing changes. */
  sample_prompts: readonly string[];

  // Run
  output_dir: string;
  seed: number;
  data_seed: number;
  report_to: 'tensorboard' | 'none';
  /** False, true for the newest checkpoint of the run, or a checkpoint's folder. */
  resume_from_checkpoint: boolean | string;
}

/** A recipe that passed validation. */
export interface Recipe extends RecipeValues {
  /** The recipe's file name without its endings; names the run. */
  name: string;
  /** Settings of the chosen adapter, initialisation, optimizer … beyond the ones above. */
  settings: Record<string, SettingValue>;
}
