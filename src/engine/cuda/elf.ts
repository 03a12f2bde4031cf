// A Linux library file → its processor, its own name and the names of the libraries it needs (DT_NEEDED). The file comes
// from outside: every offset and count is checked, and no more than a few MiB are read.
// Layout: System V ABI, "Object Files" and "Dynamic Linking".
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { SessionError } from '../errors';

export interface LibraryHeader {
  /** Node's word for the processor (`x64`, `arm64`), or `machine <number>`. */
  arch: string;
  /** The name that other libraries need it by; null where it states none. */
  name: string | null;
  needed: readonly string[];
}

/** Reads `length` bytes at `offset`; fewer raise. */
export type ReadAt = (offset: number, length: number) => Buffer;

const machines: Readonly<Record<number, string>> = { 62: 'x64', 183: 'arm64' };
const segment = { load: 1, dynamic: 2 } as const;
const tag = { end: 0, needed: 1, strings: 5, stringBytes: 10, name: 14 } as const;
const limits = { headers: 512, entries: 4096, stringBytes: 16 << 20, nameBytes: 4096 } as const;

/** Reads a library's header through `read`. @throws SessionError `library-invalid`. */
export function parseElf(read: ReadAt, where: string): LibraryHeader {
  const fail = (what: string): never => {
    throw invalidLibrary(where, what);
  };
  const head = read(0, 64);
  if (head.readUInt32BE(0) !== 0x7f454c46) fail('it does not begin as an ELF file');
  if (head[4] !== 2 || head[5] !== 1) fail('it is not a 64-bit little-endian ELF file');
  const arch = machines[head.readUInt16LE(18)] ?? `machine ${head.readUInt16LE(18)}`;
  const [entryBytes, entries] = [head.readUInt16LE(54), head.readUInt16LE(56)];
  if (entryBytes !== 56 || entries === 0 || entries > limits.headers)
    fail(`it has ${entries} program headers of ${entryBytes} bytes`);
  const table = read(safe(head, 32, fail), entries * entryBytes);

  const loads: { address: number; offset: number; bytes: number }[] = [];
  let dynamic: { offset: number; bytes: number } | undefined;
  for (let at = 0; at < table.length; at += entryBytes) {
    const kind = table.readUInt32LE(at);
    if (kind !== segment.load && kind !== segment.dynamic) continue;
    const place = { offset: safe(table, at + 8, fail), bytes: safe(table, at + 32, fail) };
    if (kind === segment.load) loads.push({ ...place, address: safe(table, at + 16, fail) });
    else dynamic = place;
  }
  if (dynamic === undefined) return { arch, name: null, needed: [] };
  if (dynamic.bytes % 16 !== 0 || dynamic.bytes / 16 > limits.entries)
    fail(`its dynamic section has ${dynamic.bytes} bytes`);

  const section = read(dynamic.offset, dynamic.bytes);
  const needed: number[] = [];
  let [strings, stringBytes, name] = [-1, -1, -1];
  for (let at = 0; at < section.length; at += 16) {
    const kind = section.readBigInt64LE(at);
    if (kind === BigInt(tag.end)) break;
    if (kind === BigInt(tag.needed)) needed.push(safe(section, at + 8, fail));
    else if (kind === BigInt(tag.strings)) strings = safe(section, at + 8, fail);
    else if (kind === BigInt(tag.stringBytes)) stringBytes = safe(section, at + 8, fail);
    else if (kind === BigInt(tag.name)) name = safe(section, at + 8, fail);
  }
  if (needed.length === 0 && name < 0) return { arch, name: null, needed: [] };
  if (stringBytes <= 0 || stringBytes > limits.stringBytes) fail(`its string table has ${stringBytes} bytes`);
  const home = loads.find(({ address, bytes }) => strings >= address && strings < address + bytes);
  if (home === undefined) throw invalidLibrary(where, 'its string table lies outside its segments');
  const text = read(home.offset + strings - home.address, stringBytes);
  const word = (offset: number): string => {
    const end = offset < text.length ? text.indexOf(0, offset) : -1;
    if (end < 0 || end - offset > limits.nameBytes) fail('a name lies outside its string table');
    return text.toString('utf8', offset, end);
  };
  return { arch, name: name < 0 ? null : word(name), needed: needed.map(word) };
}

/** Opens a file and hands out its bytes, bounds checked. @throws SessionError `library-invalid` outside the file. */
export function withLibraryFile<T>(path: string, use: (read: ReadAt, where: string) => T): T {
  const file = openSync(path, 'r');
  try {
    const { size } = fstatSync(file);
    return use((offset, length) => {
      if (offset < 0 || offset + length > size)
        throw invalidLibrary(
          path,
          `it ends at byte ${size}, and bytes ${offset} to ${offset + length} are needed`,
        );
      const bytes = Buffer.alloc(length);
      let done = 0;
      while (done < length) {
        const got = readSync(file, bytes, done, length - done, offset + done);
        if (got === 0) throw invalidLibrary(path, 'it was cut short while it was read');
        done += got;
      }
      return bytes;
    }, path);
  } finally {
    closeSync(file);
  }
}

export function invalidLibrary(where: string, what: string): SessionError {
  return new SessionError({
    code: 'library-invalid',
    message: `${where} is no library that can be read: ${what}.`,
    remedy: 'Install it again; it is damaged or something else.',
  });
}

/** A 64-bit number as a JavaScript number. */
function safe(bytes: Buffer, at: number, fail: (what: string) => never): number {
  const value = bytes.readBigUInt64LE(at);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : fail(`it states the offset ${value}`);
}
