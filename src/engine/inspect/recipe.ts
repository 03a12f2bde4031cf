// Looks at a recipe: what it would do, or everything that is wrong with it.
import type { InspectResult } from '../../protocol/trainer';
import { catalogue } from '../catalogue';
import { RecipeError } from '../errors';
import { loadRecipe } from '../recipe/load';

export function inspectRecipe(path: string): InspectResult {
  try {
    const { recipe, notes } = loadRecipe(path, catalogue);
    return {
      kind: 'recipe',
      path,
      summary: `valid recipe: ${recipe.adapter === 'none' ? 'full fine-tuning' : `${recipe.adapter}, r ${recipe.r}`}, ${recipe.model}`,
      facts: {
        valid: true,
        model: recipe.model,
        dataset: recipe.dataset.map((source) => source.path).join(', '),
        output_dir: recipe.output_dir,
        adapter: recipe.adapter,
        learning_rate: recipe.learning_rate,
        max_length: recipe.max_length,
        per_device_train_batch_size: recipe.per_device_train_batch_size,
        gradient_accumulation_steps: recipe.gradient_accumulation_steps,
        num_train_epochs: recipe.num_train_epochs,
        max_steps: recipe.max_steps,
        device: recipe.device,
        seed: recipe.seed,
        notes: notes.join(' ') || null,
      },
      problems: [],
    };
  } catch (error) {
    if (!(error instanceof RecipeError)) throw error;
    const { message, remedy } = error;
    const problems = error.problems.length > 0 ? [...error.problems] : [{ where: path, message, remedy }];
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    return { kind: 'recipe', path, summary: `recipe with ${count}`, facts: { valid: false }, problems };
  }
}
