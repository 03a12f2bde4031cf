// A recipe's text and edits → the text with the edits made and nothing else touched: comments, order, quotes and number
// formats of all other lines stay. Pure.
import { type Document, isCollection, isMap, isScalar, parseDocument, stringify } from 'yaml';
import type { RecipeEdit } from '../../protocol/panels/configure';
import type { SettingValue } from '../../protocol/settings';

/**
 * Makes edits of top-level keys. `order` is the order of all settings: a new key goes behind the nearest one before it.
 * @throws Error where the text is no mapping.
 */
export function editRecipe(
  text: string,
  json: boolean,
  edits: readonly RecipeEdit[],
  order: readonly string[],
): string {
  return edits.reduce(
    (current, edit) => (json ? editJson(current, edit) : editYaml(current, edit, order)),
    text,
  );
}

function editJson(text: string, { key, value, rename }: RecipeEdit): string {
  const values = JSON.parse(text.trim() === '' ? '{}' : text) as Record<string, SettingValue>;
  const indent = /^[ \t]+(?=")/m.exec(text)?.[0] ?? 2;
  const entries = Object.entries(values).flatMap(([name, old]): [string, SettingValue][] => {
    if (name !== key) return [[name, old]];
    if (rename !== undefined) return [[rename, old]];
    return value === undefined ? [] : [[name, value]];
  });
  if (value !== undefined && !Object.hasOwn(values, key)) entries.push([key, value]);
  return `${JSON.stringify(Object.fromEntries(entries), null, indent)}${text.endsWith('\n') ? '\n' : ''}`;
}

function editYaml(text: string, edit: RecipeEdit, order: readonly string[]): string {
  const document = parseDocument(text, { keepSourceTokens: true, logLevel: 'error' });
  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null)) {
    const start = text === '' || text.endsWith('\n') ? text : `${text}\n`;
    return edit.value === undefined ? text : `${start}${line(edit.key, edit.value)}\n`;
  }
  if (!isMap(contents) || document.errors.length > 0)
    throw new Error('The recipe is no mapping of keys to values.');
  const direct = contents.flow ? undefined : editLines(text, document, edit, order);
  if (direct !== undefined && says(direct, document, edit)) return direct;
  change(document, edit);
  return document.toString({ lineWidth: 0 });
}

/** The edit by way of the document itself, for what the lines do not tell: flow mappings, anchors. */
function change(document: Document, { key, value, rename }: RecipeEdit): void {
  if (rename !== undefined) {
    const old = document.get(key, true);
    document.delete(key);
    document.set(rename, old);
  } else if (value === undefined) document.delete(key);
  else document.set(key, document.createNode(value));
}

/** Whether a text reads as the edit wants it, so that no slip in the lines can spoil a recipe. */
function says(text: string, before: Document, edit: RecipeEdit): boolean {
  const after = parseDocument(text, { logLevel: 'error' });
  if (after.errors.length > 0) return false;
  const wanted = before.clone();
  change(wanted, edit);
  const sorted = (document: Document): string => {
    const values = (document.toJS() ?? {}) as Record<string, unknown>;
    return JSON.stringify(Object.entries(values).sort(([a], [b]) => (a < b ? -1 : 1)));
  };
  return sorted(after) === sorted(wanted);
}

function editLines(
  text: string,
  document: Document,
  { key, value, rename }: RecipeEdit,
  order: readonly string[],
): string | undefined {
  if (!isMap(document.contents)) return undefined;
  const pairs = document.contents.items.flatMap((pair) => {
    if (!isScalar(pair.key) || !pair.key.range) return [];
    const range = isScalar(pair.value) || isCollection(pair.value) ? pair.value.range : undefined;
    const block = isCollection(pair.value) && !pair.value.flow;
    return [{ name: String(pair.key.value), at: pair.key.range, range: range ?? undefined, block }];
  });
  const own = pairs.find(({ name }) => name === key);
  if (own !== undefined && rename !== undefined)
    return text.slice(0, own.at[0]) + rename + text.slice(own.at[1]);
  if (own !== undefined) {
    const colon = text.indexOf(':', own.at[1]);
    // Of a block, the node ends behind its last line; of a scalar, before a comment beside it.
    const end = trimmedEnd(text, own.range?.[1] ?? colon + 1);
    if (value === undefined) {
      const from = text.lastIndexOf('\n', own.at[0] - 1) + 1;
      const next = text.indexOf('\n', end);
      return text.slice(0, from) + (next < 0 ? '' : text.slice(next + 1));
    }
    return `${text.slice(0, colon)}:${written(value)}${text.slice(Math.max(end, colon + 1))}`;
  }
  if (value === undefined || rename !== undefined) return text;
  const rank = order.indexOf(key);
  const before = pairs.filter(({ name }) => order.indexOf(name) >= 0 && order.indexOf(name) < rank);
  const anchor = before.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name)).at(-1) ?? pairs.at(-1);
  if (anchor === undefined) return `${text}${line(key, value)}\n`;
  const end = trimmedEnd(text, anchor.range?.[1] ?? anchor.at[1]);
  const next = text.indexOf('\n', end);
  return next < 0
    ? `${text}\n${line(key, value)}\n`
    : `${text.slice(0, next + 1)}${line(key, value)}\n${text.slice(next + 1)}`;
}

function trimmedEnd(text: string, end: number): number {
  let at = end;
  while (at > 0 && /\s/.test(text[at - 1]!)) at--;
  return at;
}

/** What stands behind `key:`, with the space or the line break before it. */
function written(value: SettingValue): string {
  if (value === null) return ' null';
  if (Array.isArray(value) && value.every((item) => typeof item !== 'object' || item === null)) {
    const flow = stringify(value, { collectionStyle: 'flow', lineWidth: 0 }).trim();
    if (flow.length <= 90) return ` ${flow.replace(/^\[ /, '[').replace(/ \]$/, ']')}`;
  }
  if (typeof value === 'object') {
    if (Object.keys(value).length === 0) return Array.isArray(value) ? ' []' : ' {}';
    return `\n${stringify(value, { lineWidth: 0 }).trimEnd().replaceAll(/^/gm, '  ')}`;
  }
  return ` ${stringify(value, { lineWidth: 0 }).trimEnd()}`;
}

function line(key: string, value: SettingValue): string {
  return `${key}:${written(value)}`;
}

/** The smallest replacement that turns one text into the other: offsets in the old one, and what comes there. */
export function smallestChange(from: string, to: string): { start: number; end: number; text: string } {
  let start = 0;
  const most = Math.min(from.length, to.length);
  while (start < most && from[start] === to[start]) start++;
  let tail = 0;
  while (tail < most - start && from[from.length - 1 - tail] === to[to.length - 1 - tail]) tail++;
  return { start, end: from.length - tail, text: to.slice(start, to.length - tail) };
}
