// Hand-made library files and archives: the smallest ELF that names what it needs, zip and tar with whatever entries one
// likes, true or lying.
import { deflateRawSync, gzipSync } from 'node:zlib';

export interface ElfParts {
  machine?: number;
  needed?: readonly string[];
  name?: string;
  /** Follows the tables, as a program's own bytes. */
  content?: string | Uint8Array;
}

const thisMachine = process.arch === 'arm64' ? 183 : 62;

/** A 64-bit ELF: header, two program headers, dynamic section, names, content. Addresses are offsets plus 0x1000. */
export function elf({ machine = thisMachine, needed = [], name, content = '' }: ElfParts = {}): Buffer {
  const base = 0x1000;
  let names = '\0';
  const word = (text: string): number => {
    const at = names.length;
    names += `${text}\0`;
    return at;
  };
  const entries: [number, number][] = needed.map((text) => [1, word(text)]);
  if (name !== undefined) entries.push([14, word(name)]);
  const dynamicAt = 64 + 2 * 56;
  const dynamicBytes = (entries.length + 3) * 16;
  const namesAt = dynamicAt + dynamicBytes;
  entries.push([5, base + namesAt], [10, names.length], [0, 0]);
  const tail = Buffer.concat([Buffer.from(names), Buffer.from(content)]);
  const bytes = Buffer.alloc(namesAt);
  bytes.writeUInt32BE(0x7f454c46, 0);
  bytes.set([2, 1, 1], 4);
  bytes.writeUInt16LE(3, 16);
  bytes.writeUInt16LE(machine, 18);
  bytes.writeBigUInt64LE(64n, 32);
  bytes.writeUInt16LE(56, 54);
  bytes.writeUInt16LE(2, 56);
  const segment = (at: number, kind: number, offset: number, size: number): void => {
    bytes.writeUInt32LE(kind, at);
    bytes.writeBigUInt64LE(BigInt(offset), at + 8);
    bytes.writeBigUInt64LE(BigInt(base + offset), at + 16);
    bytes.writeBigUInt64LE(BigInt(size), at + 32);
  };
  segment(64, 1, 0, namesAt + tail.length);
  segment(120, 2, dynamicAt, dynamicBytes);
  entries.forEach(([tag, value], i) => {
    bytes.writeBigInt64LE(BigInt(tag), dynamicAt + i * 16);
    bytes.writeBigUInt64LE(BigInt(value), dynamicAt + i * 16 + 8);
  });
  return Buffer.concat([bytes, tail]);
}

export interface ZipMember {
  name: string;
  content: Uint8Array;
  /** What the entry says that it holds, where that is a lie. */
  claimedBytes?: number;
}

/** A zip of deflated members. */
export function zip(members: readonly ZipMember[]): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  for (const { name, content, claimedBytes = content.length } of members) {
    const packed = deflateRawSync(content);
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(8, 4);
    fields.writeUInt32LE(crc32(content), 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(claimedBytes, 18);
    fields.writeUInt16LE(Buffer.byteLength(name), 22);
    const local = Buffer.concat([Buffer.from('PK\x03\x04'), fields, Buffer.from(name), packed]);
    const extra = Buffer.alloc(14);
    extra.writeUInt32LE(at, 10);
    directory.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\0'), fields, extra, Buffer.from(name)]));
    parts.push(local);
    at += local.length;
  }
  const table = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 0, 'latin1');
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(table.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, table, end]);
}

/** A gzipped tar of plain files. */
export function tgz(
  members: readonly { name: string; content: Uint8Array; claimedBytes?: number }[],
): Buffer {
  const parts = members.flatMap(({ name, content, claimedBytes = content.length }) => {
    const header = Buffer.alloc(512);
    header.write(name, 0);
    header.write(claimedBytes.toString(8).padStart(11, '0'), 124);
    header.write('0', 156);
    header.write('ustar', 257);
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)];
  });
  return gzipSync(Buffer.concat([...parts, Buffer.alloc(1024)]));
}

function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}
