// The recipe and its overrides from a command line. `--set` takes several assignments, so a recipe that is written after
// them arrives among them.
import { RecipeError } from '../../engine/errors';

export interface RecipeOptions {
  set?: string[];
  device?: string;
  threads?: number;
}

/** @throws RecipeError `usage` where there is no recipe, or more than one. */
export function recipeAndOverrides(
  recipe: string | undefined,
  options: RecipeOptions,
  command: string,
): { path: string; overrides: string[] } {
  const given = options.set ?? [];
  const isAssignment = (text: string): boolean => text.includes('=');
  const paths = [...(recipe === undefined ? [] : [recipe]), ...given.filter((text) => !isAssignment(text))];
  const [path, ...more] = paths;
  if (path === undefined || more.length > 0) {
    throw new RecipeError({
      code: 'usage',
      message:
        path === undefined
          ? `${command} needs a recipe.`
          : `${command} takes one recipe, found ${paths.join(', ')}.`,
      remedy:
        path === undefined
          ? `Give the path of a recipe: lora-workbench ${command} my.lora.yaml.`
          : 'Give one recipe, and each --set as key=value.',
    });
  }
  const overrides = given.filter(isAssignment);
  if (options.device !== undefined) overrides.push(`device=${options.device}`);
  if (options.threads !== undefined) overrides.push(`threads=${options.threads}`);
  return { path, overrides };
}
