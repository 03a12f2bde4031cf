// What this version can do: the entries that a recipe's axes choose from. Each is described by the file that implements it.
import type { RecipeCatalogue } from './recipe/catalogue';

const loraSettings = [
  'init_lora_weights',
  'r',
  'lora_alpha',
  'lora_dropout',
  'use_rslora',
  'bias',
  'target_modules',
  'exclude_modules',
  'rank_pattern',
  'alpha_pattern',
  'layers_to_transform',
  'layers_pattern',
  'modules_to_save',
] as const;

export const catalogue: RecipeCatalogue = {
  adapter: [
    {
      id: 'lora',
      label: 'LoRA: two small matrices beside every adapted weight',
      summary:
        'Trains about 1 % of the parameters, close to full fine-tuning for most tasks; merges without a trace.',
      fields: [],
    },
    {
      id: 'none',
      label: 'Full fine-tuning: every weight trains',
      summary: 'The highest capacity, and about ten times the memory for gradients and optimizer state.',
      fields: [],
      without: loraSettings,
    },
  ],
  init_lora_weights: [
    {
      id: true,
      label: 'A uniform (Kaiming), B zero',
      summary: "PEFT's default: training starts at the base model.",
      fields: [],
    },
    {
      id: 'gaussian',
      label: 'A normal with deviation 1/r, B zero',
      summary: 'Training starts at the base model.',
      fields: [],
    },
    {
      id: 'orthogonal',
      label: 'A and B from orthogonal halves, BA zero',
      summary: 'Starts at the base model with both matrices non-zero; needs an even r.',
      fields: [],
      check: ({ r }) =>
        r % 2 === 0
          ? []
          : [
              {
                where: 'r',
                message: `init_lora_weights: orthogonal needs an even r, found ${r}.`,
                remedy: `Set r: ${r + 1}, or another init_lora_weights.`,
              },
            ],
    },
    {
      id: false,
      label: 'A and B uniform',
      summary: 'For tests: the model does not start at the base model.',
      fields: [],
    },
  ],
  quantization: [
    {
      id: 'none',
      label: 'As in the checkpoint',
      summary: 'The base weights are used as they are.',
      fields: [],
    },
  ],
  optim: [
    {
      id: 'adamw',
      label: 'AdamW: two numbers of state per trained parameter',
      summary: 'Adam with decoupled weight decay and bias correction.',
      fields: [],
    },
  ],
  attention: [
    { id: 'full', label: 'Every earlier token', summary: "The model's own attention.", fields: [] },
  ],
  presets: [
    {
      id: 'lora',
      label: 'LoRA on all linear layers',
      summary: 'The defaults, by name.',
      values: { adapter: 'lora' },
    },
    {
      id: 'full',
      label: 'Full fine-tuning',
      summary: 'Trains every weight, at a tenth of the learning rate.',
      values: { adapter: 'none', learning_rate: 2e-5 },
    },
  ],
};
