// What this version can do: the entries that a recipe's axes choose from, each described by the file that implements it.
import { initialisations } from './adapters/initialisation';
import { variants } from './adapters/registry';
import { attentionEntries } from './models/attentions';
import { optimizers } from './optim/registry';
import { presets } from './presets';
import { quantizations } from './quantization/entries';
import type { RecipeCatalogue } from './recipe/catalogue';

export const catalogue: RecipeCatalogue = {
  adapter: variants.map((variant) => variant.entry),
  init_lora_weights: initialisations.map((initialisation) => initialisation.entry),
  load_in_4bit: quantizations,
  optim: optimizers.map((optimizer) => optimizer.entry),
  attention: attentionEntries,
  presets,
};
