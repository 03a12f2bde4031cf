// `--set key=value` on top of a recipe. In: the assignments. Out: the recipe's values changed in place, the places noted.
// Values are typed as YAML types them; validation comes after.
import { parse } from 'yaml';
import type { Problem } from '../../protocol/errors';
import { RecipeError, raiseProblems } from '../errors';
import type { RecipeSource } from './parse';
import { isMapping } from './shapes';

/**
 * Applies assignments in their order. `key` may go into a list or a mapping: `dataset.0.path=…`; below a mapping with
 * free keys the rest is one key: `rank_pattern.layers.0.q_proj=8`. Relative paths stay relative to the recipe.
 * @throws RecipeError `override-syntax` listing every assignment that cannot be read.
 */
export function applyOverrides(source: RecipeSource, assignments: readonly string[]): void {
  const problems: Problem[] = [];
  for (const assignment of assignments) {
    const where = `--set ${assignment}`;
    const equals = assignment.indexOf('=');
    const key = assignment.slice(0, Math.max(0, equals)).trim();
    if (key === '') {
      problems.push({
        where,
        message: 'has no key=value.',
        remedy: 'Write --set key=value, for example --set r=8.',
      });
      continue;
    }
    let value: unknown;
    try {
      value = parse(assignment.slice(equals + 1), { logLevel: 'error', maxAliasCount: 0 });
    } catch (cause) {
      const [reason] = (cause as Error).message.split('\n');
      problems.push({
        where,
        message: `its value cannot be read: ${reason}`,
        remedy: 'Put the value in quotes.',
      });
      continue;
    }
    const problem = assign(source.values, key, value);
    if (problem !== undefined) problems.push({ where, message: problem, remedy: 'Name an existing item.' });
    const top = key.split('.')[0]!;
    // Whatever was below the key in the file is gone; what is wrong with the new value is wrong here.
    if (top === key)
      for (const path of source.places.keys()) if (isBelow(path, key)) source.places.delete(path);
    source.places.set(key.replaceAll(/\.(\d+)(?=\.|$)/g, '[$1]'), where);
  }
  raiseProblems(RecipeError, 'override-syntax', 'Some --set options cannot be applied.', problems);
}

function isBelow(path: string, key: string): boolean {
  return path.startsWith(`${key}.`) || path.startsWith(`${key}[`);
}

/** Returns what is wrong, if anything. */
function assign(values: Record<string, unknown>, key: string, value: unknown): string | undefined {
  const dot = key.indexOf('.');
  if (dot < 0) {
    setOwn(values, key, value);
    return undefined;
  }
  const top = key.slice(0, dot);
  const rest = key.slice(dot + 1);
  const inside = Object.hasOwn(values, top) ? values[top] : undefined;
  if (Array.isArray(inside)) {
    const [index = '', ...deeper] = rest.split('.');
    if (!/^\d{1,5}$/.test(index) || Number(index) >= inside.length) return `${top} has no item ${index}.`;
    if (deeper.length === 0) inside[Number(index)] = value;
    else if (isMapping(inside[Number(index)])) setOwn(inside[Number(index)], deeper.join('.'), value);
    else return `${top}.${index} is no mapping.`;
    return undefined;
  }
  if (inside !== undefined && inside !== null && !isMapping(inside)) return `${top} is no mapping.`;
  const mapping: Record<string, unknown> = isMapping(inside) ? inside : {};
  setOwn(mapping, rest, value);
  setOwn(values, top, mapping);
  return undefined;
}

/** Never touches a prototype, whatever the key. */
function setOwn(target: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(target, key, { value, writable: true, enumerable: true, configurable: true });
}
