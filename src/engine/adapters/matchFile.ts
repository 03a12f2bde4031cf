// Brings settings that select modules into the form in which PEFT keeps them in adapter_config.json. Knows paths only.
import { type MatchOptions, type ModuleInfo, matchModules, type TargetedModule } from './match';

/** PEFT compresses lists from this length on. */
const compressFrom = 20;

/**
 * `target_modules` as it goes into the file: never `all-linear` nor null, which readers could expand differently, and
 * long lists as the shortest suffixes that select the same modules. A regular expression stays as it is.
 */
export function targetsForFile(
  targetModules: MatchOptions['target_modules'],
  targets: readonly ModuleInfo[],
  modules: readonly ModuleInfo[],
): string[] | string {
  if (typeof targetModules === 'string' && targetModules !== 'all-linear') return targetModules;
  if (Array.isArray(targetModules) && targetModules.length < compressFrom)
    return [...new Set(targetModules)].sort();
  const targeted = new Set(targets.map(({ path }) => path));
  return minimalSuffixes(
    [...targeted],
    modules.map(({ path }) => path).filter((path) => !targeted.has(path)),
  );
}

/** The fewest-part dotted suffixes that select every path of `targeted` and none of `others`; sorted. */
export function minimalSuffixes(targeted: readonly string[], others: readonly string[]): string[] {
  const suffixes = (path: string) => {
    const parts = path.split('.');
    return parts.map((_, i) => parts.slice(parts.length - 1 - i).join('.'));
  };
  const taken = new Set(others.flatMap(suffixes));
  const chosen = new Set<string>();
  for (const path of targeted) {
    const mine = suffixes(path);
    if (mine.some((suffix) => chosen.has(suffix))) continue;
    // A path that ends another's path has no suffix of its own; its full name is all there is.
    chosen.add(mine.find((suffix) => !taken.has(suffix)) ?? path);
  }
  return [...chosen].sort();
}

/**
 * `rank_pattern` and `alpha_pattern` as they go into the file. There keys are sorted, which changes the first match
 * where patterns overlap; then, and when a reader's list of modules differs, exact paths say the same safely.
 */
export function patternsForFile(
  options: MatchOptions,
  targets: readonly TargetedModule[],
): { rank_pattern: Record<string, number>; alpha_pattern: Record<string, number> } {
  const sorted = (pattern: Readonly<Record<string, number>> = {}) =>
    Object.fromEntries(Object.entries(pattern).sort(([a], [b]) => (a < b ? -1 : 1)));
  const asWritten = {
    r: options.r,
    lora_alpha: options.lora_alpha,
    target_modules: targets.map(({ path }) => path),
    rank_pattern: sorted(options.rank_pattern),
    alpha_pattern: sorted(options.alpha_pattern),
  };
  const reread = matchModules(asWritten, targets).targets;
  const same = (key: 'r' | 'alpha') => reread.every((module, i) => module[key] === targets[i]![key]);
  const exact = (key: 'r' | 'alpha', usual: number) =>
    sorted(
      Object.fromEntries(
        targets.filter((module) => module[key] !== usual).map((module) => [module.path, module[key]]),
      ),
    );
  return {
    rank_pattern: same('r') ? asWritten.rank_pattern : exact('r', options.r),
    alpha_pattern: same('alpha') ? asWritten.alpha_pattern : exact('alpha', options.lora_alpha),
  };
}
