// Text of a recipe → all its problems, as a start would find them; files that it names are looked for, too.
import { existsSync } from 'node:fs';
import { catalogue } from '../../engine/catalogue';
import { UserError } from '../../engine/errors';
import { importRecipe } from '../../engine/recipe/aliases';
import { recipeFields } from '../../engine/recipe/fields';
import { parseRecipe, placeOf } from '../../engine/recipe/parse';
import { validateRecipe } from '../../engine/recipe/validate';
import type { Problem } from '../../protocol/errors';

/** Checks a recipe's text. `file` is its name, `folder` where it lies. */
export function checkRecipe(text: string, file: string, folder: string): Problem[] {
  try {
    const parsed = parseRecipe(new TextEncoder().encode(text), file, folder);
    const { source } = importRecipe(parsed, new Set(recipeFields(catalogue).map(({ key }) => key)));
    const { recipe } = validateRecipe(source, catalogue);
    const missing = (key: string, path: string): Problem[] =>
      existsSync(path)
        ? []
        : [
            {
              where: placeOf(source, key),
              message: `${key}: there is no ${path}.`,
              remedy: 'Correct the path.',
            },
          ];
    return [
      ...missing('model', recipe.model),
      ...recipe.dataset.flatMap(({ path }) => missing('dataset', path)),
      ...recipe.eval_dataset.flatMap(({ path }) => missing('eval_dataset', path)),
    ];
  } catch (cause) {
    if (!(cause instanceof UserError)) throw cause;
    return cause.problems.length > 0
      ? [...cause.problems]
      : [{ where: file, message: cause.message, remedy: cause.remedy }];
  }
}
