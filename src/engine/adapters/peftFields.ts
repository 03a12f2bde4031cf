// Describes the fields of adapter_config.json, type by type: default, how a value is read, and which values are refused by name. One table drives reading, checking and writing.
import { isJsonObject, type JsonObject } from '../files/json';

/** Reads a value, or says what was expected instead. */
export type ReadValue<T> = (value: unknown) => { value: T } | { expected: string };

export interface Field<T> {
  default: T;
  read: ReadValue<T>;
}

export type FieldTable = Record<string, Field<unknown>>;
export type ValuesOf<Table> = { [Key in keyof Table]: Table[Key] extends Field<infer T> ? T : never };

const isStrings = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === 'string');
const isIntegers = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item));

/** A null stands for the default, as some writers put it. */
function field<T>(initial: T, expected: string, accepts: (value: unknown) => value is T): Field<T> {
  return {
    default: initial,
    read: (value) =>
      value === null || value === undefined ? { value: initial } : accepts(value) ? { value } : { expected },
  };
}

export const boolean = (initial: boolean) =>
  field(initial, 'true or false', (value): value is boolean => typeof value === 'boolean');
export const positiveInteger = (initial: number) =>
  field(
    initial,
    'a positive whole number',
    (value): value is number => Number.isSafeInteger(value) && Number(value) > 0,
  );
export const wholeNumber = (initial: number) =>
  field(
    initial,
    'a whole number from 0',
    (value): value is number => Number.isSafeInteger(value) && Number(value) >= 0,
  );
export const number = (initial: number) =>
  field(initial, 'a number', (value): value is number => typeof value === 'number' && Number.isFinite(value));
export const fraction = (initial: number) =>
  field(
    initial,
    'a number from 0 to 1',
    (value): value is number => typeof value === 'number' && value >= 0 && value <= 1,
  );
export const text = (initial: string | null) =>
  field<string | null>(initial, 'a string or null', (value): value is string => typeof value === 'string');
export const oneOf = <T extends string>(initial: T | null, allowed: readonly T[]) =>
  field<T | null>(initial, `one of ${allowed.join(', ')}`, (value): value is T =>
    allowed.some((item) => item === value),
  );
export const strings = field<string[] | null>(null, 'a list of strings, or null', isStrings);
export const stringsOrText = field<string[] | string | null>(
  null,
  'a list of strings, a string, or null',
  (value): value is string[] | string => typeof value === 'string' || isStrings(value),
);
export const integers = field<number[] | number | null>(
  null,
  'a whole number, a list of them, or null',
  (value): value is number[] | number => Number.isSafeInteger(value) || isIntegers(value),
);
export const object = field<JsonObject>({}, 'an object', isJsonObject);
export const objectOrNull = field<JsonObject | null>(null, 'an object or null', isJsonObject);

/** Module → which of its ranks are kept (ADALORA). */
export const masks = field<Record<string, readonly boolean[]>>(
  {},
  'an object from modules to lists of true and false',
  (value): value is Record<string, readonly boolean[]> =>
    isJsonObject(value) &&
    Object.values(value).every(
      (mask) => Array.isArray(mask) && mask.every((kept) => typeof kept === 'boolean'),
    ),
);

/** Pattern → number; every number must pass `check`. */
export function pattern(expected: string, check: (value: number) => boolean): Field<Record<string, number>> {
  return field<Record<string, number>>(
    {},
    `an object from patterns to ${expected}`,
    (value): value is Record<string, number> =>
      isJsonObject(value) && Object.values(value).every((item) => typeof item === 'number' && check(item)),
  );
}

/** A field that may hold only what means "not used"; anything else is refused by its name. */
export function unused<T>(initial: T): Field<T> {
  return { default: initial, read: () => ({ value: initial }) };
}

/** Whether a value means that a feature is switched off: null, false, nothing in it. */
export function isOff(value: unknown): boolean {
  if (value === null || value === undefined || value === false) return true;
  if (Array.isArray(value)) return value.length === 0;
  return isJsonObject(value) && Object.keys(value).length === 0;
}
