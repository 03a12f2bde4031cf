// How a trainer is set where a test does not care: AdamW, clipping, no decay, one micro-batch a step.
import type { TrainerSettings } from '../../src/engine/train/trainer';

export const plainTrainer: TrainerSettings = {
  optim: 'adamw',
  weight_decay: 0,
  adam_beta1: 0.9,
  adam_beta2: 0.999,
  adam_epsilon: 1e-8,
  max_grad_norm: 1,
  settings: {},
  seed: 3,
  packing: false,
  gradient_accumulation_steps: 1,
  gradient_checkpointing: 'selective',
};
