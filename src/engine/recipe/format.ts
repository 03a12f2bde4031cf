// A validated recipe → YAML that reads back as the same recipe: what a run keeps as its recipe.yaml.
import { stringify } from 'yaml';
import type { Recipe } from '../../protocol/recipe';
import { axes, chosenEntry, type RecipeCatalogue } from './catalogue';
import { coreFields } from './fields';

/** The resolved recipe as YAML: absolute paths, every default written out, settings without effect left out. */
export function formatRecipe(recipe: Recipe, catalogue: RecipeCatalogue): string {
  const without = new Set<string>(
    axes.flatMap((axis) => chosenEntry(catalogue[axis], recipe[axis])?.without ?? []),
  );
  const values: Record<string, unknown> = {};
  for (const { key } of coreFields(catalogue)) {
    const value = recipe[key as keyof Recipe];
    const empty = value === null || (typeof value === 'object' && Object.keys(value).length === 0);
    if (!empty && !without.has(key)) values[key] = value;
  }
  return `# The settings of this run, with every default written out.\n${stringify({ ...values, ...recipe.settings }, { lineWidth: 110 })}`;
}
