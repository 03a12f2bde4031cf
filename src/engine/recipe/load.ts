// A recipe file on disk → a validated recipe: read, translate a foreign dialect, apply --set, validate, look for its files.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import type { Problem } from '../../protocol/errors';
import type { Recipe } from '../../protocol/recipe';
import type { SettingField } from '../../protocol/settings';
import { RecipeError, raiseProblems } from '../errors';
import { type ImportReport, importNotes, importRecipe } from './aliases';
import type { RecipeCatalogue } from './catalogue';
import { recipeFields } from './fields';
import { applyOverrides } from './overrides';
import { parseRecipe, placeOf, type RecipeSource } from './parse';
import { withPaths } from './shapes';
import { absolutePath, validateRecipe } from './validate';

export interface LoadedRecipe {
  recipe: Recipe;
  notes: string[];
  imported: ImportReport;
}

/**
 * Loads a recipe. `overrides` are `key=value` texts.
 * @throws RecipeError `recipe-missing`, `recipe-syntax`, `recipe-import`, `override-syntax` or `recipe-invalid`.
 */
export function loadRecipe(
  path: string,
  catalogue: RecipeCatalogue,
  overrides: readonly string[] = [],
): LoadedRecipe {
  const file = resolve(path);
  const parsed = parseRecipe(readBytes(file, path), basename(file), dirname(file));
  const { source, report } = importRecipe(parsed, new Set(recipeFields(catalogue).map((field) => field.key)));
  applyOverrides(source, overrides);
  const { recipe, notes } = validateRecipe(source, catalogue);
  const template = readTemplate(recipe, source);
  raiseProblems(RecipeError, 'recipe-invalid', `The recipe ${source.file} names files that are not there:`, [
    ...template.problems,
    ...missingFiles(recipe, source),
    ...missingPaths(recipe, source, recipeFields(catalogue)),
  ]);
  return {
    recipe: { ...recipe, chat_template: template.text },
    notes: [...importNotes(report), ...notes],
    imported: report,
  };
}

function readBytes(file: string, shown: string): Uint8Array {
  try {
    // The parser has its own bound; this one keeps a wrongly given model file out of memory.
    if (statSync(file).size > 16 * 1024 * 1024) {
      throw new RecipeError({
        code: 'recipe-syntax',
        message: `${shown} has ${statSync(file).size} bytes, which is no recipe.`,
        remedy: 'Give the path of a recipe (*.lora.yaml or *.lora.json).',
      });
    }
    return readFileSync(file);
  } catch (cause) {
    if (cause instanceof RecipeError) throw cause;
    const code = (cause as NodeJS.ErrnoException).code;
    const reasons: Record<string, string> = {
      ENOENT: 'does not exist',
      EISDIR: 'is a folder',
      EACCES: 'may not be read',
      ENOTDIR: 'lies below something that is no folder',
    };
    throw new RecipeError({
      code: 'recipe-missing',
      message: `The recipe ${shown} ${reasons[code ?? ''] ?? `cannot be read (${code ?? (cause as Error).message})`}.`,
      remedy: 'Give the path of a recipe (*.lora.yaml or *.lora.json).',
      cause,
    });
  }
}

const maximumTemplateBytes = 1024 * 1024;

/** A chat template given as a path becomes its text, so that a run keeps the template and not where it lay. */
function readTemplate(recipe: Recipe, source: RecipeSource): { text: string | null; problems: Problem[] } {
  const given = recipe.chat_template;
  if (given === null || !/^[^{}\n]+\.(jinja2?|j2)$/.test(given)) return { text: given, problems: [] };
  const path = absolutePath(given, source.folder);
  const problem = (message: string): { text: string; problems: Problem[] } => ({
    text: given,
    problems: [
      {
        where: placeOf(source, 'chat_template'),
        message,
        remedy: 'Give the path of a Jinja file, or the template itself.',
      },
    ],
  });
  try {
    const { size } = statSync(path);
    if (size > maximumTemplateBytes)
      return problem(`chat_template: ${path} has ${size} bytes, which is no template.`);
    return { text: readFileSync(path, 'utf8'), problems: [] };
  } catch (cause) {
    return problem(`chat_template: ${path} cannot be read (${(cause as NodeJS.ErrnoException).code}).`);
  }
}

/** Paths in the chosen entries' own settings that lead nowhere. */
function missingPaths(recipe: Recipe, source: RecipeSource, fields: readonly SettingField[]): Problem[] {
  const problems: Problem[] = [];
  for (const [key, value] of Object.entries(recipe.settings)) {
    const field = fields.find((candidate) => candidate.key === key);
    if (!field) continue;
    withPaths(value, field, (path) => {
      if (!existsSync(path)) {
        problems.push({
          where: placeOf(source, key),
          message: `${key}: there is nothing at ${path}.`,
          remedy: `Correct the path under ${key}.`,
        });
      }
      return path;
    });
  }
  return problems;
}

function missingFiles(recipe: Recipe, source: RecipeSource): Problem[] {
  const problems: Problem[] = [];
  if (!existsSync(recipe.model)) {
    problems.push({
      where: placeOf(source, 'model'),
      message: `model: there is no folder ${recipe.model}.`,
      remedy:
        'Give the path of a Hugging Face folder on this machine; a name on a hub must be downloaded first.',
    });
  }
  for (const key of ['dataset', 'eval_dataset'] as const) {
    recipe[key].forEach(({ path }, index) => {
      if (existsSync(path)) return;
      problems.push({
        where: placeOf(source, `${key}[${index}]`),
        message: `${key}: there is no file ${path}.`,
        remedy: `Correct the path under ${key}.`,
      });
    });
  }
  if (
    recipe.adapter_name_or_path !== null &&
    recipe.resume_from_checkpoint === false &&
    !existsSync(recipe.adapter_name_or_path)
  ) {
    problems.push({
      where: placeOf(source, 'adapter_name_or_path'),
      message: `adapter_name_or_path: there is no folder ${recipe.adapter_name_or_path}.`,
      remedy: 'Give the folder of an adapter on this machine, or leave it out.',
    });
  }
  if (typeof recipe.resume_from_checkpoint === 'string' && !existsSync(recipe.resume_from_checkpoint)) {
    problems.push({
      where: placeOf(source, 'resume_from_checkpoint'),
      message: `resume_from_checkpoint: there is no folder ${recipe.resume_from_checkpoint}.`,
      remedy: "Give a folder below the run's checkpoints, or true for the newest.",
    });
  }
  return problems;
}
