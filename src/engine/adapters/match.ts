// Decides which modules of a model an adapter changes, with which rank and alpha, by PEFT's rules. Knows paths and kinds, no weights.
import { distance } from 'fastest-levenshtein';
import type { Problem } from '../../protocol/errors';
import { AdapterError, raiseProblems } from '../errors';
import { compileAll, matchAll } from './pythonRegex';

/** `head` is the output head: a linear layer that `all-linear` leaves out. */
export type ModuleKind = 'linear' | 'conv1d' | 'embedding' | 'head' | 'norm' | 'other';

export interface ModuleInfo {
  /** Path in the base model, for example `model.layers.0.self_attn.q_proj`. */
  path: string;
  kind: ModuleKind;
}

/** The part of a config that decides about modules; names and meanings are PEFT's. */
export interface MatchOptions {
  r: number;
  lora_alpha: number;
  target_modules: readonly string[] | string | null;
  exclude_modules?: readonly string[] | string | null;
  layers_to_transform?: readonly number[] | number | null;
  layers_pattern?: readonly string[] | string | null;
  rank_pattern?: Readonly<Record<string, number>>;
  alpha_pattern?: Readonly<Record<string, number>>;
  modules_to_save?: readonly string[] | null;
}

export interface TargetedModule extends ModuleInfo {
  r: number;
  alpha: number;
}

export interface MatchResult {
  /** In the order of `modules`. */
  targets: TargetedModule[];
  /** Paths of the modules that are trained and saved whole. */
  saved: string[];
  /** Entries of lists and patterns that matched nothing; PEFT is silent about them unless all are. */
  unmatched: { setting: keyof MatchOptions; entry: string; nearest: string[] }[];
}

const adaptable: readonly ModuleKind[] = ['linear', 'conv1d', 'embedding', 'head'];
const allLinear = 'all-linear';

/**
 * The modules that `options` select among `modules`. `defaults` are the family's targets, used when `target_modules` is
 * null. Throws AdapterError when nothing matches, or a module that matches cannot be adapted.
 */
export function matchModules(
  options: MatchOptions,
  modules: readonly ModuleInfo[],
  defaults: readonly string[] = [],
): MatchResult {
  const paths = modules.map(({ path }) => path);
  const unmatched: MatchResult['unmatched'] = [];
  const noteUnmatched = (
    setting: keyof MatchOptions,
    entries: readonly string[],
    hit: (entry: string) => boolean,
  ) => {
    for (const entry of entries)
      if (!hit(entry)) unmatched.push({ setting, entry, nearest: nearestNames(entry, paths) });
  };
  const targetModules = options.target_modules ?? defaults;
  raiseProblems(
    AdapterError,
    'target-settings-invalid',
    'These settings cannot select modules:',
    targetProblems({ ...options, target_modules: targetModules }),
  );

  const excluded = selector(options.exclude_modules ?? [], paths, 'exclude_modules');
  noteUnmatched('exclude_modules', excluded.entries, (entry) =>
    paths.some((path) => excluded.hits(entry, path)),
  );

  // PEFT keeps adapters off saved modules and all below them by this regex, but picks the saved ones by a bare endsWith.
  const toSave = options.modules_to_save ?? [];
  const below = toSave.map((name) => new RegExp(`(^|\\.)${literal(name)}($|\\.)`));
  const saved = paths.filter((path) => toSave.some((name) => path.endsWith(name)));
  noteUnmatched('modules_to_save', toSave, (entry) => saved.some((path) => path.endsWith(entry)));

  const targeted =
    targetModules === allLinear ? linearSelector(modules) : selector(targetModules, paths, 'target_modules');
  noteUnmatched('target_modules', targeted.entries, (entry) =>
    paths.some((path) => targeted.hits(entry, path)),
  );
  const inLayers = layerFilter(options, paths);

  const chosen = modules.filter(
    ({ path }) =>
      !excluded.matches(path) &&
      !below.some((form) => form.test(path)) &&
      targeted.matches(path) &&
      // In PEFT an entry that is a whole path is not asked for its layer.
      (inLayers(path) || (Array.isArray(targetModules) && targetModules.includes(path))),
  );
  if (chosen.length === 0) throw nothingMatched(options, targetModules, paths, unmatched);
  refuseUnsuited(chosen);

  const rankOf = patternLookup(options.rank_pattern, chosen, 'rank_pattern', noteUnmatched);
  const alphaOf = patternLookup(options.alpha_pattern, chosen, 'alpha_pattern', noteUnmatched);
  const targets = chosen.map((module) => ({
    ...module,
    r: rankOf(module.path) ?? options.r,
    alpha: alphaOf(module.path) ?? options.lora_alpha,
  }));
  return { targets, saved, unmatched };
}

function literal(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** What `all-linear` stands for: every linear layer but the output head. */
function linearSelector(modules: readonly ModuleInfo[]): Selector {
  const linear = new Set(
    modules.filter(({ kind }) => kind === 'linear' || kind === 'conv1d').map(({ path }) => path),
  );
  return { entries: [], hits: () => true, matches: (path) => linear.has(path) };
}

interface Selector {
  /** Empty for a pattern. */
  entries: readonly string[];
  hits: (entry: string, path: string) => boolean;
  matches: (path: string) => boolean;
}

/** A list matches by whole dotted suffixes, a string is a regular expression for the whole path. */
function selector(value: readonly string[] | string, paths: readonly string[], setting: string): Selector {
  if (typeof value === 'string') {
    const [accepted] = matchAll(compileAll([value], setting), 'fullmatch', paths, setting);
    const set = new Set(paths.filter((_, i) => accepted?.[i]));
    return { entries: [], hits: () => true, matches: (path) => set.has(path) };
  }
  const hits = (entry: string, path: string) => path === entry || path.endsWith(`.${entry}`);
  return { entries: value, hits, matches: (path) => value.some((entry) => hits(entry, path)) };
}

/** Layer numbers as PEFT finds them: the last number after two names, or the one after `layers_pattern`. */
function layerFilter(options: MatchOptions, paths: readonly string[]): (path: string) => boolean {
  const wanted = options.layers_to_transform;
  if (wanted === null || wanted === undefined || (Array.isArray(wanted) && wanted.length === 0))
    return () => true;
  const layers = new Set(typeof wanted === 'number' ? [wanted] : wanted);
  const patterns = [options.layers_pattern ?? []].flat().filter((pattern) => pattern !== '');
  if (patterns.length === 0) {
    return (path) => {
      const found = /^.*\.[^.]*\.(\d+)\./.exec(path);
      return found !== null && layers.has(Number(found[1]));
    };
  }
  // The number is read without the foreign pattern, by trying each number of the path in its place.
  const regexes = compileAll(patterns, 'layers_pattern');
  const candidates = paths.flatMap((path) =>
    [...path.matchAll(/\.(\d+)(?=\.)/g)].map((number) => ({
      path,
      layer: Number(number[1]),
      before: path.slice(0, number.index),
    })),
  );
  const befores = candidates.map(({ before }) => before);
  const layerOf = new Map<string, number>();
  const accepted = matchAll(
    regexes.map((regex) => ({ ...regex, source: `.*\\.(?:${regex.source})` })),
    'fullmatch',
    befores,
    'layers_pattern',
  );
  for (const hits of accepted) {
    const found = new Map<string, number>();
    // A later number overwrites an earlier one: PEFT's leading `.*` takes all it can.
    candidates.forEach(({ path, layer }, i) => {
      if (hits[i]) found.set(path, layer);
    });
    for (const [path, layer] of found) if (!layerOf.has(path)) layerOf.set(path, layer);
  }
  return (path) => layers.has(layerOf.get(path) ?? Number.NaN);
}

/** First key in file order that matches as `(.*\.)?(key)$`. */
function patternLookup(
  pattern: Readonly<Record<string, number>> | undefined,
  modules: readonly ModuleInfo[],
  setting: 'rank_pattern' | 'alpha_pattern',
  noteUnmatched: (
    setting: keyof MatchOptions,
    entries: readonly string[],
    hit: (entry: string) => boolean,
  ) => void,
): (path: string) => number | undefined {
  const keys = Object.keys(pattern ?? {});
  if (!pattern || keys.length === 0) return () => undefined;
  const paths = modules.map(({ path }) => path);
  const regexes = compileAll(keys, setting).map((regex) => ({
    ...regex,
    source: `(.*\\.)?(${regex.source})$`,
  }));
  const accepted = matchAll(regexes, 'match', paths, setting);
  noteUnmatched(setting, keys, (key) => accepted[keys.indexOf(key)]!.includes(true));
  const values = new Map(
    paths.map((path, i) => {
      const key = keys.find((_, k) => accepted[k]![i]);
      return [path, key === undefined ? undefined : pattern[key]];
    }),
  );
  return (path) => values.get(path);
}

/** What PEFT refuses among the settings that select modules, whatever the model. */
export function targetProblems(
  options: Pick<MatchOptions, 'target_modules' | 'layers_to_transform' | 'layers_pattern'>,
): Problem[] {
  const { target_modules: targets, layers_to_transform: layers } = options;
  const problems: Problem[] = [];
  const usesLayers = layers !== null && layers !== undefined;
  const usesPattern = (options.layers_pattern?.length ?? 0) > 0;
  if (targets?.length === 0) {
    problems.push({
      where: 'target_modules',
      message: 'is empty; at least one module must be adapted',
      remedy: 'List module names such as "q_proj" and "v_proj", or write "all-linear".',
    });
  }
  if (usesPattern && !usesLayers) {
    problems.push({
      where: 'layers_pattern',
      message: 'is given without layers_to_transform',
      remedy: 'Give layers_to_transform as well, or remove layers_pattern.',
    });
  }
  if (typeof targets === 'string' && targets !== allLinear && (usesLayers || usesPattern)) {
    problems.push({
      where: usesLayers ? 'layers_to_transform' : 'layers_pattern',
      message: 'cannot be used when target_modules is a regular expression',
      remedy: 'Put the layer numbers into the regular expression, or list the module names.',
    });
  }
  return problems;
}

function refuseUnsuited(chosen: readonly ModuleInfo[]): void {
  raiseProblems(
    AdapterError,
    'target-not-adaptable',
    'target_modules selects modules that have no low-rank form:',
    chosen
      .filter(({ kind }) => !adaptable.includes(kind))
      .map(({ path, kind }) => ({
        where: path,
        message: `is of the kind "${kind}"; adapted are ${adaptable.join(', ')}`,
      })),
    'Take them out of target_modules; to train them whole, name them in modules_to_save.',
  );
}

function nothingMatched(
  options: MatchOptions,
  targetModules: readonly string[] | string,
  paths: readonly string[],
  unmatched: MatchResult['unmatched'],
): AdapterError {
  const list = typeof targetModules === 'string' ? JSON.stringify(targetModules) : targetModules.join(', ');
  const entries = unmatched.filter(({ setting }) => setting === 'target_modules');
  const allUnmatched = typeof targetModules !== 'string' && entries.length === targetModules.length;
  const nearest = [...new Set(entries.flatMap((entry) => entry.nearest))];
  const limits = (['exclude_modules', 'modules_to_save', 'layers_to_transform'] as const).filter(
    (setting) => {
      const value = options[setting];
      return value !== null && value !== undefined && !(Array.isArray(value) && value.length === 0);
    },
  );
  const names = [...new Set(paths.map(lastName))].slice(0, 40);
  return new AdapterError({
    code: 'targets-not-found',
    message:
      allUnmatched || limits.length === 0
        ? `target_modules: ${list} not found in the model; its modules are called ${names.join(', ')}.`
        : `target_modules: ${list} leaves no module to adapt after ${limits.join(', ')}.`,
    remedy:
      nearest.length > 0
        ? `Write ${nearest.join(' or ')}, or "all-linear".`
        : limits.length > 0 && !allUnmatched
          ? `Change target_modules or ${limits.join(', ')} so that at least one module is left.`
          : 'Name modules of this model, or write "all-linear".',
    problems: entries.map(({ entry, nearest: near }) => ({
      where: 'target_modules',
      message: `${JSON.stringify(entry)} matches no module`,
      ...(near.length > 0 ? { remedy: `Write ${near.join(' or ')}.` } : {}),
    })),
  });
}

function lastName(path: string): string {
  return path.split('.').findLast((part) => !/^\d+$/.test(part)) ?? path;
}

/** Up to three module names close to `entry`, nearest first. */
function nearestNames(entry: string, paths: readonly string[]): string[] {
  const depth = entry.split('.').length;
  const names = [...new Set(paths.map((path) => path.split('.').slice(-depth).join('.')))];
  return names
    .map((name) => ({ name, steps: distance(entry.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, steps }) => steps <= Math.max(2, Math.floor(name.length / 3)))
    .sort((a, b) => a.steps - b.steps)
    .slice(0, 3)
    .map(({ name }) => name);
}
