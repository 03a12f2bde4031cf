// A recipe's values → a typed recipe with every default filled in and every path absolute, or all problems at once.
// In: parsed values with their places, and the catalogue. It reads no file and knows no variant.
import { homedir } from 'node:os';
import { basename, isAbsolute, join, resolve } from 'node:path';
import type { Mend, Problem } from '../../protocol/errors';
import type { DatasetSource, Recipe, RecipeValues } from '../../protocol/recipe';
import type { SettingField, SettingValue } from '../../protocol/settings';
import { RecipeError, raiseProblems } from '../errors';
import {
  axes,
  type CatalogueEntry,
  chosenEntry,
  knownElsewhere,
  type RecipeCatalogue,
  reasonsElsewhere,
  settingsElsewhere,
} from './catalogue';
import { findContradictions } from './contradictions';
import { coreFields, recipeFields } from './fields';
import { nearest } from './nearest';
import { placeOf, type RecipeSource } from './parse';
import { asSettingValue, checkShape, isMapping, type ShapeProblem, withPaths } from './shapes';
import { synonyms } from './synonyms';

export interface ValidRecipe {
  recipe: Recipe;
  /** What a person should know although it is no mistake. */
  notes: string[];
}

/**
 * Validates the whole recipe. Precedence: a value given, then the preset's, then the default of the chosen entries, then
 * the common default.
 * @throws RecipeError `recipe-invalid` with every problem: its file and line, and its remedy.
 */
export function validateRecipe(source: RecipeSource, catalogue: RecipeCatalogue): ValidRecipe {
  const problems: Problem[] = [];
  const report: Report = (path, message, remedy, mends) => {
    problems.push({ where: placeOf(source, path), message, remedy, ...(mends ? { mends } : {}) });
  };
  const fields = new Map(recipeFields(catalogue).map((field) => [field.key, field]));
  const given = new Map<string, SettingValue>();

  for (const [key, value] of Object.entries(source.values)) {
    const field = fields.get(key);
    // A switch that is off asks for nothing.
    if (field === undefined && value === false && settingsElsewhere.includes(key)) continue;
    if (field === undefined) reportUnknownKey(key, [...fields.keys()], report);
    else if (value !== null && value !== undefined && !reportElsewhere(key, value, catalogue, report)) {
      const found = checkShape(value, field);
      for (const { path, message, remedy, values } of found)
        report(`${key}${path}`, `${key}${path}: ${message}`, remedy, mendsOf(key, path, values));
      if (found.length === 0) given.set(key, asSettingValue(value));
    }
  }
  for (const field of fields.values()) {
    const value = source.values[field.key];
    if (field.required && (value === undefined || value === null)) {
      report(
        field.key,
        `${field.key} is missing: ${lowerFirst(field.description)}`,
        `Add a line "${field.key}: …".`,
      );
    }
  }

  const preset = catalogue.presets.find((candidate) => candidate.id === given.get('preset'));
  const effective = new Map([...Object.entries(preset?.values ?? {}), ...given]);
  const entries = chosenEntries(effective, fields, catalogue);
  for (const entry of entries) addEntryFields(entry.entry, fields, effective, given, report);
  reportForeignSettings(given, entries, catalogue, report);

  const { recipe, notes } = resolveRecipe(source, fields, effective, catalogue, entries);
  // A missing or broken value has a default in its place by now; contradictions with it would only confuse.
  if (problems.length === 0) {
    const found = [
      ...findContradictions(recipe, new Set(given.keys())),
      ...entries.flatMap(({ entry }) => entry.check?.(recipe) ?? []),
    ];
    for (const problem of found) problems.push({ ...problem, where: placeOf(source, problem.where) });
  }
  const heading = `The recipe ${source.file} has ${problems.length === 1 ? 'a mistake' : `${problems.length} mistakes`}:`;
  raiseProblems(RecipeError, 'recipe-invalid', heading, problems);
  return { recipe, notes };
}

type Report = (path: string, message: string, remedy: string, mends?: readonly Mend[]) => void;

/** Values that would fit, for a setting itself; what lies inside one is not changed by a button. */
function mendsOf(key: string, path: string, values: ShapeProblem['values']): readonly Mend[] | undefined {
  return path === '' ? values?.map((value) => ({ key, value })) : undefined;
}

function reportUnknownKey(key: string, known: string[], report: Report): void {
  if (settingsElsewhere.includes(key)) {
    const reason = reasonsElsewhere[key];
    report(key, `${key} is not available in this version${reason ? `: ${reason}` : ''}.`, `Remove ${key}.`, [
      { key },
    ]);
    return;
  }
  const named = nearest(key, [...known, ...Object.keys(synonyms)]);
  const likely = named === undefined || known.includes(named) ? named : synonyms[named];
  report(
    key,
    `${key} is no known setting.`,
    likely === undefined
      ? `Remove ${key}; "methods" lists the settings.`
      : `Write ${likely} instead of ${key}.`,
    [likely === undefined ? { key } : { key, rename: likely }],
  );
}

/** Answers a choice that exists, and not in this version. */
function reportElsewhere(key: string, value: unknown, catalogue: RecipeCatalogue, report: Report): boolean {
  const axis = key === 'preset' ? 'preset' : axes.find((candidate) => candidate === key);
  if (axis === undefined || typeof value !== 'string') return false;
  const available = axis === 'preset' ? catalogue.presets : catalogue[axis];
  if (available.some((entry) => entry.id === value)) return false;
  if (axis !== 'preset' && chosenEntry(catalogue[axis], value) !== undefined) return false;
  const family = knownElsewhere[axis].find(
    (name) => value === name || (axis === 'init_lora_weights' && value.startsWith(`${name}_`)),
  );
  if (family === undefined || available.some((entry) => entry.id === family)) return false;
  const names = available.map((entry) => String(entry.id)).join(', ');
  const reason = Object.hasOwn(reasonsElsewhere, value) ? ` (${reasonsElsewhere[value]})` : '';
  report(
    key,
    `${key}: ${value} is not available in this version${reason}; available are ${names}.`,
    `Choose one of ${names}.`,
    available.map(({ id }) => ({ key, value: id as string })),
  );
  return true;
}

interface ChosenEntry {
  axis: string;
  value: SettingValue;
  entry: CatalogueEntry;
}

function chosenEntries(
  effective: ReadonlyMap<string, SettingValue>,
  fields: ReadonlyMap<string, SettingField>,
  catalogue: RecipeCatalogue,
): ChosenEntry[] {
  const chosen: ChosenEntry[] = [];
  for (const axis of axes) {
    const value = effective.get(axis) ?? fields.get(axis)?.default ?? null;
    const entry = chosenEntry(catalogue[axis], value);
    if (entry !== undefined) chosen.push({ axis, value, entry });
  }
  // What another choice switches off (full fine-tuning: the initialisation) has no say.
  const off = new Set<string>(chosen.flatMap(({ entry }) => entry.without ?? []));
  return chosen.filter(({ axis }) => !off.has(axis));
}

/** Lets an entry's descriptions replace the common ones, and checks the given values against them. */
function addEntryFields(
  entry: CatalogueEntry,
  fields: Map<string, SettingField>,
  effective: ReadonlyMap<string, SettingValue>,
  given: ReadonlyMap<string, SettingValue>,
  report: Report,
): void {
  for (const field of entry.fields) {
    fields.set(field.key, field);
    const value = given.get(field.key);
    if (value === undefined) {
      if (field.required && !effective.has(field.key))
        report(field.key, `${field.key} is missing.`, `Add ${field.key}.`);
      continue;
    }
    for (const { path, message, remedy, values } of checkShape(value, field)) {
      report(
        `${field.key}${path}`,
        `${field.key}${path}: ${message}`,
        remedy,
        mendsOf(field.key, path, values),
      );
    }
  }
}

/** Reports settings that were given and that the chosen entries do not have. */
function reportForeignSettings(
  given: ReadonlyMap<string, SettingValue>,
  chosen: readonly ChosenEntry[],
  catalogue: RecipeCatalogue,
  report: Report,
): void {
  const core = new Set(coreFields(catalogue).map((field) => field.key));
  const owned = new Set(chosen.flatMap(({ entry }) => entry.fields.map((field) => field.key)));
  for (const key of given.keys()) {
    const refusing = chosen.find(({ entry }) =>
      (entry.without as readonly string[] | undefined)?.includes(key),
    );
    if (refusing !== undefined) {
      report(
        key,
        `${key} has no effect with ${refusing.axis}: ${refusing.value}.`,
        `Remove ${key}, or choose another ${refusing.axis}.`,
        [{ key }],
      );
    } else if (!core.has(key) && !owned.has(key)) {
      const owners = axes.flatMap((axis) =>
        catalogue[axis]
          .filter((entry) => entry.fields.some((field) => field.key === key))
          .map(({ id }) => ({ axis, id })),
      );
      report(
        key,
        `${key} belongs to ${owners.map(({ axis, id }) => `${axis}: ${id}`).join(' or ')}, which is not chosen.`,
        `Set ${owners[0]!.axis}: ${owners[0]!.id}, or remove ${key}.`,
        [{ key: owners[0]!.axis, value: owners[0]!.id as string }, { key }],
      );
    }
  }
}

function resolveRecipe(
  source: RecipeSource,
  fields: ReadonlyMap<string, SettingField>,
  effective: ReadonlyMap<string, SettingValue>,
  catalogue: RecipeCatalogue,
  chosen: readonly ChosenEntry[],
): ValidRecipe {
  const notes: string[] = [];
  const get = (key: string): SettingValue => effective.get(key) ?? fields.get(key)?.default ?? null;
  const values: Record<string, SettingValue> = {};
  for (const field of coreFields(catalogue)) values[field.key] = get(field.key);
  // Cast once: every key of RecipeValues has a field, and every value passed its shape. What differs is set below.
  const common = values as unknown as RecipeValues;
  const path = (text: string): string => absolutePath(text, source.folder);
  const name = recipeName(source.file);
  const evalDataset = datasetSources(get('eval_dataset'), path);
  const hasEval = evalDataset.length > 0 || common.val_size > 0;
  const checkpointing = get('gradient_checkpointing');
  const resume = get('resume_from_checkpoint');
  const layers = get('layers_to_transform');
  const pattern = get('layers_pattern');

  if (common.max_steps > 0 && effective.has('num_train_epochs')) {
    notes.push(
      `max_steps: ${common.max_steps} takes precedence over num_train_epochs: ${common.num_train_epochs}.`,
    );
  }
  const recipe: Recipe = {
    ...common,
    name,
    model: path(String(common.model)),
    dataset: datasetSources(get('dataset'), path),
    eval_dataset: evalDataset,
    adapter_name_or_path: common.adapter_name_or_path === null ? null : path(common.adapter_name_or_path),
    output_dir: path(typeof common.output_dir === 'string' ? common.output_dir : join('runs', name)),
    dtype:
      common.dtype !== 'auto' ? common.dtype : common.bf16 ? 'bfloat16' : common.fp16 ? 'float16' : 'auto',
    layers_to_transform: typeof layers === 'number' ? [layers] : common.layers_to_transform,
    layers_pattern: typeof pattern === 'string' ? [pattern] : common.layers_pattern,
    warmup_ratio:
      (common.lr_scheduler_type === 'constant' || common.warmup_steps > 0) && !effective.has('warmup_ratio')
        ? 0
        : common.warmup_ratio,
    gradient_checkpointing:
      checkpointing === true ? 'full' : checkpointing === false ? 'none' : common.gradient_checkpointing,
    per_device_eval_batch_size: common.per_device_eval_batch_size ?? common.per_device_train_batch_size,
    eval_strategy: common.eval_strategy ?? (common.eval_steps !== null ? 'steps' : hasEval ? 'epoch' : 'no'),
    save_strategy: common.save_strategy ?? (common.save_steps !== null ? 'steps' : 'epoch'),
    data_seed: common.data_seed ?? common.seed,
    resume_from_checkpoint: typeof resume === 'string' ? path(resume) : resume === true,
    settings: Object.fromEntries(
      chosen.flatMap(({ entry }) =>
        entry.fields
          .filter((field) => !(field.key in values))
          .map((field) => [field.key, withPaths(get(field.key), field, path)]),
      ),
    ),
  };
  return { recipe, notes };
}

function datasetSources(value: SettingValue, path: (text: string) => string): DatasetSource[] {
  if (value === null) return [];
  const items: readonly unknown[] = Array.isArray(value) ? value : [value];
  return items.map((item) => {
    if (!isMapping(item)) return { path: path(String(item)), columns: {} };
    const columns = isMapping(item.columns) ? item.columns : {};
    return {
      path: path(String(item.path)),
      columns: Object.fromEntries(
        Object.entries(columns)
          .filter(([, theirs]) => theirs !== null)
          .map(([ours, theirs]) => [ours, String(theirs)]),
      ),
    };
  });
}

/** Makes a path absolute: `~/` is the home folder, all else is relative to the recipe. */
export function absolutePath(text: string, folder: string): string {
  if (text === '~' || text.startsWith('~/')) return join(homedir(), text.slice(1));
  return isAbsolute(text) ? resolve(text) : resolve(folder, text);
}

/** The file name without `.lora.yaml`, `.lora.json`, `.yaml`, `.yml` or `.json`. */
export function recipeName(file: string): string {
  return basename(file.replaceAll('\\', '/')).replace(/(\.lora)?\.(ya?ml|json)$/i, '') || 'run';
}

function lowerFirst(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}
