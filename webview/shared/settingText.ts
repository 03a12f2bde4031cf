// A setting's value ↔ the text in its field, by the setting's description. What cannot be read as a value is an error in
// one sentence; whether the value makes sense is for validation to say. Pure.
import type { SettingShape, SettingValue } from '../../src/protocol/settings';
import { t } from './texts';

export type ReadText = { value: SettingValue | undefined } | { error: string };

/** A value as a person writes it. */
export function showValue(value: SettingValue | undefined): string {
  if (value === null || value === undefined) return '';
  if (typeof value === 'number') return showNumber(value);
  if (typeof value !== 'object') return String(value);
  if (Array.isArray(value)) {
    if (
      value.every((item) => typeof item === 'number' || (typeof item === 'string' && !/[,[\]{}"]/.test(item)))
    )
      return value.join(', ');
    return JSON.stringify(value);
  }
  const entries = Object.entries(value);
  return entries.length === 0
    ? ''
    : entries
        .map(([key, item]) => `${key}: ${typeof item === 'object' ? JSON.stringify(item) : item}`)
        .join(', ');
}

/** `0.0002` → `2e-4`; everyday numbers stay as they are. */
export function showNumber(value: number): string {
  const size = Math.abs(value);
  if (size === 0 || (size >= 1e-3 && size < 1e7)) return String(value);
  return value.toExponential().replace('e+', 'e');
}

/** Text → value. Empty text means: not set (`value` undefined). */
export function readText(shape: SettingShape, text: string): ReadText {
  const trimmed = text.trim();
  if (trimmed === '') return { value: undefined };
  switch (shape.type) {
    case 'integer':
    case 'number':
      return readNumber(shape, trimmed);
    case 'boolean':
      return trimmed === 'true' || trimmed === 'false'
        ? { value: trimmed === 'true' }
        : { error: t('Write true or false.') };
    case 'enum': {
      const choice = shape.choices.find(({ id }) => String(id) === trimmed);
      return { value: choice === undefined ? trimmed : choice.id };
    }
    case 'string':
    case 'path':
      return { value: trimmed };
    case 'list':
      return readList(shape.items, trimmed);
    case 'map':
      return readMap(shape.values, trimmed);
    case 'object':
      return readJson(trimmed);
    case 'union':
      return readUnion(shape.options, trimmed);
  }
}

function readNumber(shape: { type: 'integer' | 'number' }, text: string): ReadText {
  const value = Number(text.replaceAll(/(?<=\d)[ ,_](?=\d{3}\b)/g, ''));
  if (!Number.isFinite(value)) return { error: t('“{0}” is no number.', text) };
  if (shape.type === 'integer' && !Number.isInteger(value))
    return { error: t('{0} is no whole number.', text) };
  return { value };
}

function readList(items: SettingShape, text: string): ReadText {
  if (/^[[{]/.test(text)) return readJson(text);
  const values: SettingValue[] = [];
  for (const part of text.split(',')) {
    if (part.trim() === '') continue;
    const read = readText(items, part);
    if ('error' in read) return read;
    values.push(read.value ?? null);
  }
  return { value: values };
}

function readMap(values: SettingShape, text: string): ReadText {
  if (text.startsWith('{')) return readJson(text);
  const entries: [string, SettingValue][] = [];
  for (const part of text.split(',')) {
    if (part.trim() === '') continue;
    const at = part.lastIndexOf(':');
    if (at < 0) return { error: t('Write “name: value”; “{0}” has no colon.', part.trim()) };
    const read = readText(values, part.slice(at + 1));
    if ('error' in read) return read;
    entries.push([part.slice(0, at).trim(), read.value ?? null]);
  }
  return { value: Object.fromEntries(entries) };
}

function readJson(text: string): ReadText {
  try {
    return { value: JSON.parse(text) as SettingValue };
  } catch (cause) {
    return { error: (cause as Error).message };
  }
}

/** The first option that the text fits: numbers before names, one name before a list of them. */
function readUnion(options: readonly SettingShape[], text: string): ReadText {
  const has = (type: SettingShape['type']): SettingShape | undefined =>
    options.find((one) => one.type === type);
  const list = has('list');
  if (/^[[{]/.test(text) && (list ?? has('object') ?? has('map')) !== undefined) return readJson(text);
  if (list !== undefined && text.includes(',') && !/[\\(|*]/.test(text)) return readText(list, text);
  let last: ReadText = { error: t('There is no such value.') };
  for (const option of options) {
    if (option.type === 'list' || option.type === 'map' || option.type === 'object') continue;
    if (option.type === 'enum' && !option.choices.some(({ id }) => String(id) === text)) continue;
    last = readText(option, text);
    if (!('error' in last)) return last;
  }
  return list === undefined ? last : readText(list, text);
}

/** The choices of a field that is one: an enumeration, yes or no, or a union of such. */
export function choicesOf(shape: SettingShape): { id: string | boolean; label: string }[] | undefined {
  switch (shape.type) {
    case 'enum':
      return shape.choices.map(({ id, label }) => ({ id, label }));
    case 'boolean':
      return [
        { id: false, label: t('off') },
        { id: true, label: t('on') },
      ];
    case 'union': {
      const enums = shape.options.filter(({ type }) => type === 'enum');
      const rest = shape.options.filter(({ type }) => type !== 'enum' && type !== 'boolean');
      return enums.length > 0 && rest.length === 0 ? enums.flatMap((one) => choicesOf(one) ?? []) : undefined;
    }
    default:
      return undefined;
  }
}

/** What a choice is called in a list: `off` and `on` for no and yes. */
export function choiceText(id: string | boolean | null): string {
  return id === false ? t('off') : id === true ? t('on') : id === null ? t('not set') : id;
}
