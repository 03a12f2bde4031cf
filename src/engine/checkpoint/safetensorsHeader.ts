// Takes the header bytes of a safetensors file and its size, gives the tensors and every problem. Does no IO; trusts nothing.
import type { Problem } from '../../protocol/errors';
import { isJsonObject, nameOf } from '../files/json';

/**
 * Element types of the format, in bits, in the reference implementation's order (which sorts the tensors of a
 * file); all are listed so that a known one is never called broken.
 */
export const safetensorsBits = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type SafetensorsDType = keyof typeof safetensorsBits;

/** One tensor where it lies: `bytes` bytes at `offset`, counted from the start of `file`. */
export interface TensorRef {
  name: string;
  dtype: SafetensorsDType;
  shape: readonly number[];
  file: string;
  offset: number;
  bytes: number;
}

/** The format's own bound on the JSON text, in bytes. */
export const maxHeaderBytes = 100_000_000;

export interface ParsedHeader {
  metadata: Record<string, string>;
  tensors: Map<string, TensorRef>;
  problems: Problem[];
}

/** A name as it may be shown: quoted, without control characters, not longer than a line. */
export function shownName(name: string): string {
  return JSON.stringify(name.length > 200 ? `${name.slice(0, 199)}…` : name);
}

/**
 * Reads the JSON text between byte 8 and `dataStart` of `file`. Tensors that are whole are in `tensors` even when
 * others are not; `problems` is empty only for a file that keeps every rule of the format.
 */
export function parseHeader(text: string, file: string, dataStart: number, fileBytes: number): ParsedHeader {
  const problems: Problem[] = [];
  const tensors = new Map<string, TensorRef>();
  const metadata: Record<string, string> = {};
  const bad = (where: string, message: string) => problems.push({ where, message });
  const done = { metadata, tensors, problems };

  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    bad('header', `is not valid JSON (${error instanceof Error ? error.message.slice(0, 120) : 'unknown'})`);
    return done;
  }
  if (!isJsonObject(header)) {
    bad('header', `holds ${nameOf(header)} where an object is expected`);
    return done;
  }
  for (const name of duplicateKeys(text)) bad(shownName(name), 'is named twice in the header');

  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') {
      readMetadata(entry, metadata, bad);
      continue;
    }
    const ref = readEntry(entry, (message) => bad(shownName(name), message));
    if (!ref) continue;
    tensors.set(name, { name, file, ...ref, offset: ref.offset + dataStart });
  }
  checkLayout(tensors, dataStart, fileBytes, problems);
  return done;
}

function readMetadata(
  entry: unknown,
  metadata: Record<string, string>,
  bad: (where: string, message: string) => void,
): void {
  // Old writers put null here.
  if (entry === null) return;
  if (!isJsonObject(entry)) {
    bad('__metadata__', `is ${nameOf(entry)}; expected an object of strings`);
    return;
  }
  for (const [key, value] of Object.entries(entry)) {
    if (typeof value === 'string') metadata[key] = value;
    else bad('__metadata__', `${shownName(key)} is ${nameOf(value)}; expected a string`);
  }
}

/** One tensor's entry, its offset still relative to the data; undefined after a call of `bad`. */
function readEntry(
  entry: unknown,
  bad: (message: string) => void,
): Pick<TensorRef, 'dtype' | 'shape' | 'offset' | 'bytes'> | undefined {
  if (!isJsonObject(entry)) {
    bad(`is ${nameOf(entry)}; expected an object with dtype, shape and data_offsets`);
    return undefined;
  }
  const { dtype, shape, data_offsets: offsets } = entry;
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0;
  const knownDtype = typeof dtype === 'string' && Object.hasOwn(safetensorsBits, dtype);
  if (!knownDtype) bad(`dtype is ${nameOf(dtype)}; known are ${Object.keys(safetensorsBits).join(', ')}`);
  const goodShape = Array.isArray(shape) && shape.length <= 32 && shape.every(isCount);
  if (!goodShape) bad(`shape is ${describe(shape)}; expected a list of sizes, none negative`);
  const goodOffsets =
    Array.isArray(offsets) &&
    offsets.length === 2 &&
    offsets.every(isCount) &&
    Number(offsets[0]) <= Number(offsets[1]);
  if (!goodOffsets) bad(`data_offsets are ${describe(offsets)}; expected [begin, end] with 0 ≤ begin ≤ end`);
  if (!knownDtype || !goodShape || !goodOffsets) return undefined;

  const [begin, end] = offsets as [number, number];
  const bits = (shape as number[]).reduce(
    (product, size) => product * size,
    safetensorsBits[dtype as SafetensorsDType],
  );
  const bytes = bits / 8;
  if (!Number.isSafeInteger(bytes)) {
    bad(`shape ${describe(shape)} of ${dtype} is too large, or no whole number of bytes`);
    return undefined;
  }
  if (end - begin !== bytes) {
    bad(`takes ${end - begin} bytes, but shape ${describe(shape)} of ${dtype} needs ${bytes}`);
    return undefined;
  }
  return { dtype: dtype as SafetensorsDType, shape: shape as number[], offset: begin, bytes };
}

function describe(value: unknown): string {
  if (!Array.isArray(value)) return nameOf(value);
  const text = JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

/** The data must be covered exactly: no overlap, no hole, nothing beyond the end, nothing left over. */
function checkLayout(
  tensors: Map<string, TensorRef>,
  dataStart: number,
  fileBytes: number,
  problems: Problem[],
): void {
  // An entry that could not be read leaves a hole of its own; the layout is judged once all are readable.
  if (problems.length > 0) return;
  const sorted = [...tensors.values()].sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  const beyond = sorted.filter((ref) => ref.offset + ref.bytes > fileBytes);
  let covered = dataStart;
  let previous = '';
  for (const ref of sorted) {
    const where = shownName(ref.name);
    if (ref.offset < covered && ref.bytes > 0) {
      problems.push({ where, message: `overlaps ${previous} by ${covered - ref.offset} bytes` });
    } else if (ref.offset > covered) {
      problems.push({
        where,
        message: `begins ${ref.offset - covered} bytes after the end of ${previous || 'the header'}`,
      });
    }
    if (ref.offset + ref.bytes > covered) {
      covered = ref.offset + ref.bytes;
      previous = where;
    }
  }
  if (beyond.length > 0) {
    problems.push({
      where: shownName(beyond[0]!.name),
      message:
        `${beyond.length > 1 ? `and ${beyond.length - 1} more reach` : 'reaches'} beyond the end: the header promises ${covered} bytes, ` +
        `the file has ${fileBytes}; ${covered - fileBytes} are missing`,
      remedy: 'Download the file again; it is cut off.',
    });
  } else if (covered < fileBytes) {
    problems.push({ where: 'end of file', message: `${fileBytes - covered} bytes follow the last tensor` });
  }
}

/** Keys that occur twice in the top object or in one of its entries. JSON.parse keeps the last and says nothing. */
function duplicateKeys(json: string): string[] {
  const seen: Set<string>[] = [];
  const duplicates: string[] = [];
  let owner = '';
  let expectsKey = false;
  for (let i = 0; i < json.length; i++) {
    const c = json[i];
    if (c === '{' || c === '[') {
      seen.push(new Set());
      expectsKey = c === '{';
    } else if (c === '}' || c === ']') {
      seen.pop();
      expectsKey = false;
    } else if (c === ',') {
      // A string after a comma in a list is no key; the colon check below sorts that out.
      expectsKey = true;
    } else if (c === '"') {
      const start = i++;
      while (json[i] !== '"') i += json[i] === '\\' ? 2 : 1;
      if (!expectsKey || !/^\s*:/.test(json.slice(i + 1, i + 20))) continue;
      expectsKey = false;
      const key: string = JSON.parse(json.slice(start, i + 1));
      const keys = seen.at(-1)!;
      if (keys.has(key)) duplicates.push(seen.length === 1 ? key : `${owner}.${key}`);
      keys.add(key);
      if (seen.length === 1) owner = key;
    }
  }
  return duplicates;
}
