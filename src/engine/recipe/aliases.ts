// Recipes of LLaMA-Factory, Axolotl and TRL/PEFT → ours. In: a parsed recipe. Out: the same source with our keys, and a
// report of what was mapped and what has no counterpart. Our own recipes may use a few common other names.
import type { Problem } from '../../protocol/errors';
import type { SettingValue } from '../../protocol/settings';
import { RecipeError, raiseProblems } from '../errors';
import { axolotl } from './dialects/axolotl';
import { resolveDatasetNames } from './dialects/datasetInfo';
import { llamaFactory } from './dialects/llamaFactory';
import type { Dialect } from './dialects/translation';
import { trl } from './dialects/trl';
import { nearest } from './nearest';
import { placeOf, type RecipeSource } from './parse';
import { synonyms } from './synonyms';

export const dialects: readonly Dialect[] = [llamaFactory, axolotl, trl];

export interface ImportReport {
  /** LLaMA-Factory, Axolotl or TRL/PEFT; null for our own. */
  dialect: string | null;
  /** In the order of the recipe. */
  mapped: { from: string; to: string }[];
  /** Keys that change nothing here, and why. */
  ignored: { key: string; reason: string }[];
}

/**
 * The dialect that most of a recipe's marker keys belong to; null if it reads as ours. A recipe with our `model` and
 * `dataset` is ours, whatever single names it borrows.
 */
export function detectDialect(values: Readonly<Record<string, unknown>>): Dialect | null {
  if (Object.hasOwn(values, 'model') && Object.hasOwn(values, 'dataset')) return null;
  let best: Dialect | null = null;
  let bestCount = 0;
  for (const dialect of dialects) {
    const count = dialect.markers.filter((key) => Object.hasOwn(values, key)).length;
    if (count > bestCount) {
      best = dialect;
      bestCount = count;
    }
  }
  return best;
}

/**
 * Translates a foreign recipe. `ownKeys` are our setting names; a foreign recipe may use them too.
 * @throws RecipeError `recipe-import` listing every key that asks for something we do not have.
 */
export function importRecipe(
  source: RecipeSource,
  ownKeys: ReadonlySet<string>,
): { source: RecipeSource; report: ImportReport } {
  const dialect = detectDialect(source.values);
  const report: ImportReport = { dialect: dialect?.name ?? null, mapped: [], ignored: [] };
  const problems: Problem[] = [];
  const values: Record<string, unknown> = {};
  const places = new Map(source.places);
  const origin = new Map<string, string>();

  const set = (key: string, from: string, value: unknown): void => {
    const earlier = origin.get(key);
    if (earlier !== undefined && JSON.stringify(values[key]) !== JSON.stringify(value)) {
      problems.push({
        where: placeOf(source, from),
        message: `${from} and ${earlier} both set ${key}, to different values.`,
        remedy: `Remove ${from} or ${earlier}.`,
      });
      return;
    }
    origin.set(key, from);
    Object.defineProperty(values, key, { value, writable: true, enumerable: true, configurable: true });
    if (key !== from) {
      report.mapped.push({ from, to: key });
      for (const [path, place] of source.places) {
        if (path === from || path.startsWith(`${from}[`) || path.startsWith(`${from}.`))
          places.set(key + path.slice(from.length), place);
      }
    }
  };

  for (const [key, value] of Object.entries(source.values)) {
    const fail = (message: string, remedy: string): void => {
      problems.push({ where: placeOf(source, key), message, remedy });
    };
    const row = dialect !== null && Object.hasOwn(dialect.keys, key) ? dialect.keys[key]! : undefined;
    if (dialect === llamaFactory && (key === 'dataset' || key === 'eval_dataset')) {
      set(
        key,
        key,
        resolveDatasetNames(value, source.folder, source.values.dataset_dir, ({ message, remedy }) =>
          fail(message, remedy ?? 'Give the path of a file.'),
        ),
      );
    } else if (typeof row === 'string') {
      set(row, key, value);
    } else if (row !== undefined) {
      const translated = row(value, source.values);
      if (translated.unsupported !== undefined) {
        fail(
          `${key} asks for ${translated.unsupported}, which is not available here.`,
          `Remove ${key} if the run should go without.`,
        );
      } else if (translated.ignored !== undefined) {
        report.ignored.push({ key, reason: translated.ignored });
      }
      for (const [to, ours] of Object.entries(translated.set ?? {}))
        if (ours !== undefined) set(to, key, ours satisfies SettingValue);
    } else if (ownKeys.has(key)) {
      set(key, key, value);
    } else if (Object.hasOwn(synonyms, key)) {
      set(synonyms[key]!, key, value);
    } else if (dialect === null) {
      set(key, key, value);
    } else {
      const likely = nearest(key, [...Object.keys(dialect.keys), ...ownKeys]);
      if (likely === undefined) report.ignored.push({ key, reason: 'no counterpart' });
      else
        fail(
          `${key} is no setting of ${dialect.name} that is known here.`,
          `Write ${likely} instead of ${key}, or remove it.`,
        );
    }
  }
  raiseProblems(
    RecipeError,
    'recipe-import',
    `The ${dialect?.name ?? 'recipe'} settings in ${source.file} cannot all be taken over.`,
    problems,
  );
  return { source: { ...source, values, places }, report };
}

/** The report as notes for a person. */
export function importNotes(report: ImportReport): string[] {
  const notes: string[] = [];
  if (report.dialect !== null) {
    notes.push(`Read as a recipe of ${report.dialect}; relative paths are taken from the recipe's folder.`);
  }
  if (report.mapped.length > 0)
    notes.push(`Taken over: ${report.mapped.map(({ from, to }) => `${from} → ${to}`).join(', ')}.`);
  for (const { key, reason } of report.ignored) notes.push(`${key} has no counterpart: ${reason}.`);
  return notes;
}
