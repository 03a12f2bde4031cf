// Checks one value against the description of a setting, and says in words what was expected and what was found.
// It knows shapes only, no setting by name.
import type { Choice, SettingField, SettingShape, SettingValue } from '../../protocol/settings';
import { nearest } from './nearest';

/** What is wrong with a value. `path` is below the setting, for example `[2].path`; empty for the value itself. */
export interface ShapeProblem {
  path: string;
  message: string;
  remedy: string;
  /** Values that would fit. */
  values?: readonly (string | number | boolean)[];
}

/** Longest list or map, and longest string, that a setting takes. */
const maximumItems = 10_000;
const maximumCharacters = 100_000;

/** The values that a shape takes, in words. */
export function describeShape(shape: SettingShape): string {
  switch (shape.type) {
    case 'integer':
    case 'number': {
      const bounds = [
        shape.minimum === undefined ? '' : `at least ${shape.minimum}`,
        shape.exclusiveMinimum === undefined ? '' : `above ${shape.exclusiveMinimum}`,
        shape.maximum === undefined ? '' : `at most ${shape.maximum}`,
        shape.exclusiveMaximum === undefined ? '' : `below ${shape.exclusiveMaximum}`,
      ].filter((bound) => bound !== '');
      return [shape.type === 'integer' ? 'a whole number' : 'a number', bounds.join(' and ')]
        .join(' ')
        .trim();
    }
    case 'boolean':
      return 'true or false';
    case 'string':
      return 'text';
    case 'path':
      return 'a path';
    case 'enum':
      return `one of ${shape.choices.map((choice) => String(choice.id)).join(', ')}`;
    case 'list':
      return `a list, each item ${describeShape(shape.items)}`;
    case 'map':
      return `a mapping from names to values, each ${describeShape(shape.values)}`;
    case 'object':
      return `a mapping with the keys ${shape.fields.map((field) => field.key).join(', ')}`;
    case 'union':
      return shape.options.map(describeShape).join(', or ');
  }
}

/** A value in words, short enough for a message. */
export function describeValue(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (typeof value === 'object') return 'a mapping';
  const text = typeof value === 'string' ? `"${value}"` : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…"` : text;
}

/** Everything that is wrong with `value`; empty if it fits. */
export function checkShape(value: unknown, shape: SettingShape, path = ''): ShapeProblem[] {
  const wrong = (remedy: string, values?: ShapeProblem['values']): ShapeProblem[] => [
    {
      path,
      message: `expected ${describeShape(shape)}, found ${describeValue(value)}.`,
      remedy,
      ...(values ? { values } : {}),
    },
  ];
  switch (shape.type) {
    case 'integer':
    case 'number': {
      if (typeof value === 'string' && value.trim() !== '' && Number.isFinite(Number(value))) {
        return wrong(`Write ${value} without quotes.`, [Number(value)]);
      }
      const fits =
        typeof value === 'number' &&
        Number.isFinite(value) &&
        (shape.type === 'number' || Number.isSafeInteger(value)) &&
        !(shape.minimum !== undefined && value < shape.minimum) &&
        !(shape.maximum !== undefined && value > shape.maximum) &&
        !(shape.exclusiveMinimum !== undefined && value <= shape.exclusiveMinimum) &&
        !(shape.exclusiveMaximum !== undefined && value >= shape.exclusiveMaximum);
      return fits ? [] : wrong(`Give ${describeShape(shape)}.`);
    }
    case 'boolean':
      return typeof value === 'boolean' ? [] : wrong('Write true or false.');
    case 'string':
    case 'path': {
      if (typeof value !== 'string')
        return wrong(`Give ${describeShape(shape)}, in quotes if it reads as something else.`);
      if (shape.type === 'path' && value.trim() === '') return wrong('Give a path.');
      if (value.includes('\0'))
        return [{ path, message: 'contains a NUL character.', remedy: 'Remove the NUL character.' }];
      if (value.length > maximumCharacters) {
        return [
          {
            path,
            message: `has ${value.length} characters; at most ${maximumCharacters} are taken.`,
            remedy: 'Shorten the text.',
          },
        ];
      }
      return [];
    }
    case 'enum':
      return checkChoice(value, shape.choices, path);
    case 'list':
      return checkList(value, shape, path);
    case 'map': {
      if (!isMapping(value)) return wrong(`Give ${describeShape(shape)}.`);
      return Object.entries(value).flatMap(([key, item]) => checkShape(item, shape.values, `${path}.${key}`));
    }
    case 'object': {
      if (!isMapping(value)) return wrong(`Give ${describeShape(shape)}.`);
      return checkFields(value, shape.fields, path);
    }
    case 'union': {
      const attempts = shape.options.map((option) => ({ option, problems: checkShape(value, option, path) }));
      if (attempts.some((attempt) => attempt.problems.length === 0)) return [];
      // The option of the same kind tells more than "one of these".
      const alike = attempts.find(({ option }) =>
        Array.isArray(value)
          ? option.type === 'list'
          : isMapping(value) && (option.type === 'object' || option.type === 'map'),
      );
      return alike?.problems ?? wrong(`Give ${describeShape(shape)}.`);
    }
  }
}

function checkChoice(value: unknown, choices: readonly Choice[], path: string): ShapeProblem[] {
  if (matchesChoice(value, choices)) return [];
  const names = choices.map((choice) => String(choice.id));
  const likely = typeof value === 'string' ? nearest(value, names) : undefined;
  return [
    {
      path,
      message: `${describeValue(value)} is not among ${names.join(', ')}.`,
      remedy: likely === undefined ? `Choose one of ${names.join(', ')}.` : `Write ${likely}.`,
      values: choices
        .map(({ id }) => id)
        .filter((id) => id !== null && (likely === undefined || String(id) === likely)) as (
        | string
        | number
        | boolean
      )[],
    },
  ];
}

/** Whether a value is one of the choices. */
export function matchesChoice(value: unknown, choices: readonly Choice[]): boolean {
  return choices.some(
    ({ id, pattern }) =>
      id === value ||
      (pattern !== undefined && typeof value === 'string' && new RegExp(`^(?:${pattern})$`).test(value)),
  );
}

function checkList(value: unknown, shape: SettingShape & { type: 'list' }, path: string): ShapeProblem[] {
  if (!Array.isArray(value)) {
    const remedy = 'Write it as a list: [a, b].';
    return [{ path, message: `expected ${describeShape(shape)}, found ${describeValue(value)}.`, remedy }];
  }
  if (value.length > maximumItems) {
    return [
      {
        path,
        message: `has ${value.length} items; at most ${maximumItems} are taken.`,
        remedy: 'Shorten the list.',
      },
    ];
  }
  if (value.length < (shape.minimumItems ?? 0)) {
    return [{ path, message: 'is an empty list.', remedy: 'Name at least one, or leave the key out.' }];
  }
  return value.flatMap((item, index) => checkShape(item, shape.items, `${path}[${index}]`));
}

function checkFields(
  value: Record<string, unknown>,
  fields: readonly SettingField[],
  path: string,
): ShapeProblem[] {
  const problems: ShapeProblem[] = [];
  for (const key of Object.keys(value)) {
    const field = fields.find((candidate) => candidate.key === key);
    if (field === undefined) {
      const keys = fields.map((candidate) => candidate.key);
      const likely = nearest(key, keys);
      problems.push({
        path: `${path}.${key}`,
        message: `is no known key here; known are ${keys.join(', ')}.`,
        remedy: likely === undefined ? `Remove ${key}.` : `Write ${likely} instead of ${key}.`,
      });
    } else if (value[key] !== null || field.required) {
      problems.push(...checkShape(value[key], field, `${path}.${key}`));
    }
  }
  for (const field of fields) {
    if (field.required && !Object.hasOwn(value, field.key)) {
      problems.push({ path: path, message: `has no ${field.key}.`, remedy: `Add ${field.key}.` });
    }
  }
  return problems;
}

/** A copy of a value that fits `shape`, with `change` applied to everything in it that is a path. */
export function withPaths(
  value: SettingValue,
  shape: SettingShape,
  change: (path: string) => string,
): SettingValue {
  if (value === null) return null;
  switch (shape.type) {
    case 'path':
      return typeof value === 'string' ? change(value) : value;
    case 'list':
      return Array.isArray(value) ? value.map((item) => withPaths(item, shape.items, change)) : value;
    case 'map':
      return mapped(value, () => shape.values, change);
    case 'object':
      return mapped(value, (key) => shape.fields.find((field) => field.key === key), change);
    case 'union': {
      const fitting = shape.options.find((option) => checkShape(value, option).length === 0);
      return fitting ? withPaths(value, fitting, change) : value;
    }
    default:
      return value;
  }
}

function mapped(
  value: SettingValue,
  shapeOf: (key: string) => SettingShape | undefined,
  change: (path: string) => string,
): SettingValue {
  if (!isMapping(value)) return value;
  return Object.fromEntries(
    Object.entries(value as Record<string, SettingValue>).map(([key, item]) => {
      const shape = shapeOf(key);
      return [key, shape ? withPaths(item, shape, change) : item];
    }),
  );
}

/** Whether a value is a mapping as YAML and JSON know it. */
export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A copy of plain data, typed. The value must have passed `checkShape` or come from the YAML parser. */
export function asSettingValue(value: unknown): SettingValue {
  return structuredClone(value) as SettingValue;
}
