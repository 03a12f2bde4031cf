// What this version can do: the entries that a recipe's axes choose from, each described by the file that implements it.
import { initialisations } from './adapters/initialisation';
import { variants } from './adapters/registry';
import { optimizers } from './optim/registry';
import type { RecipeCatalogue } from './recipe/catalogue';

export const catalogue: RecipeCatalogue = {
  adapter: variants.map((variant) => variant.entry),
  init_lora_weights: initialisations.map((initialisation) => initialisation.entry),
  quantization: [
    {
      id: 'none',
      label: 'As in the checkpoint',
      summary: 'The base weights are used as they are.',
      fields: [],
    },
  ],
  optim: optimizers.map((optimizer) => optimizer.entry),
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
      id: 'rslora',
      label: 'rsLoRA: LoRA whose scaling suits high ranks',
      summary: 'Scales by lora_alpha / √r, so that a higher rank learns more instead of more slowly.',
      values: { adapter: 'lora', use_rslora: true, r: 64, lora_alpha: 16 },
    },
    {
      id: 'full',
      label: 'Full fine-tuning',
      summary: 'Trains every weight, at a tenth of the learning rate.',
      values: { adapter: 'none', learning_rate: 2e-5 },
    },
  ],
};
