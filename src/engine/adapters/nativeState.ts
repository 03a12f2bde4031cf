// engine_state.json: the settings of an adapter whose method PEFT does not have. Read as a stranger's file: every value is
// checked by the description that recipes are checked by.
import type { Problem } from '../../protocol/errors';
import type { SettingShape } from '../../protocol/settings';
import { catalogue } from '../catalogue';
import { AdapterError, raiseProblems } from '../errors';
import { isJsonObject, type JsonObject } from '../files/json';
import { coreFields } from '../recipe/fields';
import { checkShape } from '../recipe/shapes';
import { variants } from './registry';
import { adapterKeys } from './settingKeys';
import type { AdapterSettings } from './settings';
import type { Variant } from './variant';

const keys = ['adapter', ...adapterKeys] as const;

const holdsPaths = (shape: SettingShape): boolean =>
  shape.type === 'path' || (shape.type === 'list' && holdsPaths(shape.items));

/**
 * What the file holds of a plan's settings: those that shape the adapter, and the method's own. A plan made from a recipe
 * carries all of the recipe, with folders of this machine. A list of folders was read when the plan was made.
 */
export function settingsForState(given: AdapterSettings, { entry }: Pick<Variant, 'entry'>): JsonObject {
  const pick = (from: Readonly<Record<string, unknown>>, names: readonly string[]): JsonObject =>
    Object.fromEntries(names.filter((name) => from[name] !== undefined).map((name) => [name, from[name]]));
  const own = entry.fields.filter((field) => !holdsPaths(field)).map(({ key }) => key);
  return { ...pick({ ...given }, keys), settings: pick(given.settings, own) };
}

/** The settings in `json`, `where` its path. Throws one AdapterError with everything that is wrong. */
export function settingsOfState(json: JsonObject, where: string): AdapterSettings {
  const problems: Problem[] = [];
  const given = isJsonObject(json.settings) ? json.settings : {};
  const own = isJsonObject(given.settings) ? given.settings : {};
  const check = (key: string, value: unknown, shape: Parameters<typeof checkShape>[1]): void => {
    // Null means: not set.
    if (value === null) return;
    for (const { path, message, remedy } of checkShape(value, shape))
      problems.push({ where: `${where}, ${key}${path}`, message, remedy });
  };
  if (json.version !== 1) {
    problems.push({
      where: `${where}, version`,
      message: `is ${JSON.stringify(json.version)?.slice(0, 40)}; version 1 is read`,
      remedy: 'Update this program, or export the adapter again as PEFT LoRA.',
    });
  }
  const fields = new Map(coreFields(catalogue).map((field) => [field.key, field]));
  for (const key of keys) {
    // The initialisation is history once there are values.
    if (key !== 'init_lora_weights') check(key, given[key] ?? null, fields.get(key)!);
  }
  const variant = variants.find(({ id }) => id === given.adapter);
  if (!variant && problems.length === 0) {
    problems.push({ where: `${where}, adapter`, message: 'is missing', remedy: 'Save the adapter again.' });
  }
  for (const field of variant?.entry.fields ?? []) check(field.key, own[field.key] ?? null, field);
  const needed = ['r', 'lora_alpha', 'lora_dropout', 'use_rslora', 'bias', 'target_modules'].filter(
    (key) => given[key] === undefined || given[key] === null,
  );
  for (const key of needed)
    problems.push({ where: `${where}, ${key}`, message: 'is missing', remedy: 'Save the adapter again.' });
  raiseProblems(AdapterError, 'adapter-state-invalid', `${where} has values that cannot be used:`, problems);

  const settings = Object.fromEntries(
    variant!.entry.fields.map((field) => [field.key, own[field.key] ?? field.default ?? null]),
  );
  const common = Object.fromEntries(keys.map((key) => [key, given[key] ?? fields.get(key)!.default ?? null]));
  return { ...common, init_lora_weights: true, settings } as unknown as AdapterSettings;
}
