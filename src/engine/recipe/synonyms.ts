// Other names of single settings, so that a recipe of ours may use the name that somebody is used to.

/** Other names of one setting that any recipe may use. */
export const synonyms: Readonly<Record<string, string>> = {
  lora_r: 'r',
  lora_rank: 'r',
  max_seq_length: 'max_length',
  cutoff_len: 'max_length',
  model_max_length: 'max_length',
  sequence_len: 'max_length',
  micro_batch_size: 'per_device_train_batch_size',
  num_epochs: 'num_train_epochs',
  lora_target_modules: 'target_modules',
  sample_packing: 'packing',
  val_set_size: 'val_size',
  model_name_or_path: 'model',
  base_model: 'model',
  lora_target: 'target_modules',
  lr_scheduler: 'lr_scheduler_type',
  lr: 'learning_rate',
  bnb_4bit_compute_dtype: 'dtype',
  rank: 'r',
};
