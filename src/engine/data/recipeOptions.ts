// How a recipe's data is read, for a model and its tokenizer: the same for a run and for what the form shows before it.
import type { Recipe } from '../../protocol/recipe';
import type { Model } from '../models/architecture';
import type { DataOptions } from './prepare';
import type { Tokenizer } from './tokenizer';

/** A recipe's data settings, for a model and its tokenizer. */
export function dataOptions(recipe: Recipe, model: Model, tokenizer: Tokenizer): DataOptions {
  return {
    tokenizer,
    dataset: recipe.dataset.map(({ path, columns }) => ({ path, columns })),
    ...(recipe.eval_dataset.length > 0
      ? { eval_dataset: recipe.eval_dataset.map(({ path, columns }) => ({ path, columns })) }
      : { val_size: recipe.val_size }),
    seed: recipe.data_seed,
    max_length: Math.min(recipe.max_length, model.maxPositions),
    truncation: recipe.truncation,
    train_on: recipe.train_on,
    model_vocab_size: model.vocabularySize,
    text_split: recipe.text_split,
    ...(recipe.chat_template ? { chat_template: recipe.chat_template } : {}),
  };
}
