// A recipe's text → what its form shows: every setting with its value and where that comes from, the axes with their
// choices, and all problems with the remedies that a button can carry out. Pure but for looking whether named files exist.
import { resolve } from 'node:path';
import { catalogue } from '../../engine/catalogue';
import { importRecipe } from '../../engine/recipe/aliases';
import { axes, type CatalogueEntry, chosenEntry } from '../../engine/recipe/catalogue';
import { coreFields, recipeFields } from '../../engine/recipe/fields';
import { parseRecipe, type RecipeSource } from '../../engine/recipe/parse';
import { validateRecipe } from '../../engine/recipe/validate';
import type { Mend, Problem } from '../../protocol/errors';
import type { FormField, FormProblem, RecipeEdit, RecipeForm } from '../../protocol/panels/configure';
import type { Recipe } from '../../protocol/recipe';
import type { SettingField, SettingValue } from '../../protocol/settings';
import { checkRecipe } from '../recipes/check';

export interface ReadForm {
  form: RecipeForm;
  /** Null while it has mistakes. */
  recipe: Recipe | null;
  /** The model's folder as the text names it, also while the rest has mistakes. */
  model: string | null;
}

/** All setting names, in the order in which a recipe lists them. */
export function settingOrder(): string[] {
  return recipeFields(catalogue).map(({ key }) => key);
}

/** Reads a recipe's text. Mistakes become problems, never exceptions. */
export function readForm(text: string, file: string, folder: string): ReadForm {
  let source: RecipeSource | undefined;
  let foreign: string | null = null;
  if (text.trim() === '') source = { file, folder, values: {}, places: new Map() };
  else {
    try {
      source = parseRecipe(new TextEncoder().encode(text), file, folder);
      const known = new Set(settingOrder());
      foreign = importRecipe(source, known).report.dialect;
    } catch {
      // The check below says what is wrong.
    }
  }
  const problems = text.trim() === '' ? [] : checkRecipe(text, file, folder);
  const values = source?.values ?? {};
  const { fields, entries } = effectiveFields(values);
  const off = new Set<string>(entries.flatMap(({ without }) => without ?? []));
  const presetId = typeof values.preset === 'string' ? values.preset : null;
  const preset = catalogue.presets.find(({ id }) => id === presetId);
  const shown = fields.map((field): FormField => {
    const given = Object.hasOwn(values, field.key) && values[field.key] !== null;
    const value = given
      ? (values[field.key] as SettingValue)
      : (preset?.values[field.key] ?? field.default ?? null);
    return { field, value, given, off: off.has(field.key) };
  });
  const listed = problems.map((problem) => formProblem(problem, source));
  if (foreign !== null) {
    listed.unshift({
      severity: 'info',
      key: null,
      line: null,
      message: `This is a recipe of ${foreign}. It can be run as it is; the form edits recipes in this workbench's own names only.`,
      remedy: 'Open it as text to change it.',
      fixes: [],
    });
  }
  const recipe = source === undefined ? null : validOrNull(source);
  const named = typeof values.model === 'string' && values.model !== '' ? values.model : null;
  return {
    form: {
      readable: source !== undefined && foreign === null,
      fields: shown,
      axes: axes.map((key) => ({
        key,
        choices: catalogue[key].map(({ id, label, summary }) => ({ id, label, summary })),
      })),
      presets: catalogue.presets.map(({ id, category, label, summary }) => ({
        id,
        category,
        label,
        summary,
      })),
      preset: presetId,
      problems: listed,
    },
    recipe,
    model: recipe?.model ?? (named === null ? null : resolve(folder, named)),
  };
}

/** A valid recipe, also one whose files are not there. */
function validOrNull(source: RecipeSource): Recipe | null {
  try {
    const { source: own } = importRecipe(source, new Set(settingOrder()));
    return validateRecipe(own, catalogue).recipe;
  } catch {
    return null;
  }
}

/** The common settings and those of the chosen entries, which may replace a common one's default and bounds. */
function effectiveFields(values: Readonly<Record<string, unknown>>): {
  fields: SettingField[];
  entries: CatalogueEntry[];
} {
  const fields = new Map(coreFields(catalogue).map((field) => [field.key, field]));
  const preset = catalogue.presets.find(({ id }) => id === values.preset);
  const entries = axes.flatMap((axis) => {
    const value = values[axis] ?? preset?.values[axis] ?? fields.get(axis)?.default;
    return chosenEntry(catalogue[axis], value) ?? [];
  });
  for (const entry of entries) for (const field of entry.fields) fields.set(field.key, field);
  // What another entry's setting is called stays visible while the recipe gives it, so that it can be taken out.
  for (const field of recipeFields(catalogue))
    if (!fields.has(field.key) && Object.hasOwn(values, field.key)) fields.set(field.key, field);
  return { fields: [...fields.values()], entries };
}

function formProblem(
  { where, message, remedy, mends }: Problem,
  source: RecipeSource | undefined,
): FormProblem {
  const line = /:(\d+)$/.exec(where)?.[1];
  const named = /^([A-Za-z_]\w*)/.exec(message)?.[1];
  const key =
    named !== undefined && (source?.places.has(named) || settingOrder().includes(named))
      ? named
      : keyAt(where, source);
  const fixes =
    mends !== undefined ? fixesOf(mends, source) : remedy === undefined ? [] : spokenFixes(remedy);
  return {
    severity: 'error',
    key,
    line: line === undefined ? null : Number(line),
    message,
    remedy: remedy ?? null,
    fixes,
  };
}

/** The top-level key that stands at a place. */
function keyAt(where: string, source: RecipeSource | undefined): string | null {
  for (const [path, place] of source?.places ?? []) if (place === where && !/[.[]/.test(path)) return path;
  return null;
}

/** More buttons than this help nobody to choose. */
const mostFixes = 4;

/** A button for every change that mends; what is not in the recipe needs no taking out. */
function fixesOf(
  mends: readonly Mend[],
  source: RecipeSource | undefined,
): { label: string; edits: RecipeEdit[] }[] {
  return mends.slice(0, mostFixes).flatMap(({ key, rename, value }) => {
    if (rename !== undefined) return [{ label: `Rename to ${rename}`, edits: [{ key, rename }] }];
    if (value !== undefined) return [{ label: `Set ${key}: ${value}`, edits: [{ key, value }] }];
    const there = source === undefined || Object.hasOwn(source.values, key);
    return there ? [{ label: `Remove ${key}`, edits: [{ key }] }] : [];
  });
}

/** The one form that checks of methods say their remedies in: `Set key: value`. */
function spokenFixes(remedy: string): { label: string; edits: RecipeEdit[] }[] {
  const set = /^Set (\w+): ([\w.-]*\w)/.exec(remedy);
  if (set === null) return [];
  return [{ label: `Set ${set[1]}: ${set[2]}`, edits: [{ key: set[1]!, value: scalar(set[2]!) }] }];
}

function scalar(text: string): SettingValue {
  if (text === 'true' || text === 'false') return text === 'true';
  return text.trim() !== '' && Number.isFinite(Number(text)) ? Number(text) : text;
}
