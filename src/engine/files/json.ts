// Reads a stranger's JSON file: bounded size, valid UTF-8, an object at the top, with line and column where it breaks.
import { open } from 'node:fs/promises';
import type { UserError, UserErrorOptions } from '../errors';
import { readError } from './diskErrors';

export type JsonObject = Record<string, unknown>;

export interface JsonSource {
  /** The class of the errors, for example CheckpointError. */
  ErrorClass: new (
    options: UserErrorOptions,
  ) => UserError;
  /** What becomes of the code: `<prefix>-missing`, `<prefix>-unreadable`, `<prefix>-too-large`, `<prefix>-broken`. */
  prefix: string;
  /** One imperative sentence for a broken file. */
  remedy: string;
  /** In bytes; 16 MiB unless told. */
  maxBytes?: number;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The object in `path`. Throws `source.ErrorClass` with the path, and the line where the text breaks. */
export async function readJsonObject(path: string, source: JsonSource): Promise<JsonObject> {
  const { ErrorClass, prefix, remedy, maxBytes = 16 * 2 ** 20 } = source;
  let bytes: Uint8Array;
  try {
    const handle = await open(path, 'r');
    try {
      const { size } = await handle.stat();
      if (size > maxBytes) {
        throw new ErrorClass({
          code: `${prefix}-too-large`,
          message: `${path} has ${size} bytes; at most ${maxBytes} are read.`,
          remedy,
        });
      }
      bytes = await handle.readFile();
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw readError(error, path, ErrorClass, prefix);
  }
  const broken = (detail: string, cause?: unknown) =>
    new ErrorClass({ code: `${prefix}-broken`, message: `${path} ${detail}`, remedy, cause });
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes); // Drops a byte order mark.
  } catch (error) {
    throw broken('is not UTF-8 text.', error);
  }
  if (text.trim() === '') throw broken('is empty.');
  if (text.startsWith('version https://git-lfs')) throw broken('is a git-LFS pointer, not the file itself.');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw broken(`is not valid JSON${placeOf(error, text)}.`, error);
  }
  if (!isJsonObject(value)) throw broken(`holds ${nameOf(value)} where an object is expected.`);
  return value;
}

function placeOf(error: unknown, text: string): string {
  const message = error instanceof Error ? error.message : '';
  const position = /at position (\d+)/.exec(message);
  const offset = position ? Number(position[1]) : /end of JSON input/.test(message) ? text.length : undefined;
  if (offset === undefined) return '';
  const before = text.slice(0, offset).split('\n');
  return ` at line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
}

/** How a JSON value is called in a message: "a list", "the number 3", "null". */
export function nameOf(value: unknown): string {
  if (value === null) return 'null';
  if (value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'an object';
  const text = JSON.stringify(value) ?? String(value);
  return `the ${typeof value} ${text.length > 60 ? `${text.slice(0, 57)}…` : text}`;
}
