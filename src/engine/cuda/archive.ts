// Opens what the provider's files come in (a folder, .zip/.nupkg/.whl, .tgz/.tar.gz) and hands out single members by file
// name. It comes from outside: names are only compared, never used as paths; sizes are bounded before and while unpacking.
import { createReadStream } from 'node:fs';
import { lstat, readdir, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { type Entry, openPromise, type ZipFile } from 'yauzl';
import { SessionError } from '../errors';
import { readError } from '../files/diskErrors';

/** One file in a container. */
export interface Member {
  /** Path inside the container; not to be used as a path on disk. */
  path: string;
  bytes: number;
  open(): Promise<Readable>;
}

export interface Container {
  path: string;
  /** The members that the caller's filter took. */
  members: readonly Member[];
  close(): void;
}

const limits = {
  /** The largest provider library has 0.3 GB; beside it, archives hold documents. */
  memberBytes: 2 * 2 ** 30,
  entries: 20_000,
  /** Compressed libraries shrink to a third; a bomb to a thousandth. */
  ratio: 200,
  depth: 6,
  padding: 1 << 20,
} as const;

/** Opens a container and lists what `wants`, told by path. @throws SessionError `archive-…`. */
export async function openContainer(path: string, wants: (member: string) => boolean): Promise<Container> {
  const stats = await stat(path).catch((cause) => {
    throw readError(cause, path, SessionError, 'archive');
  });
  if (stats.isDirectory()) return openFolder(path, wants);
  if (/\.(zip|nupkg|whl)$/i.test(path)) return openZip(path, wants);
  if (/\.(tgz|tar\.gz)$/i.test(path)) return openTar(path, wants);
  throw archiveError('archive-unknown', `${path} is neither a folder nor an archive that can be read.`);
}

async function openFolder(path: string, wants: (member: string) => boolean): Promise<Container> {
  const members: Member[] = [];
  let seen = 0;
  const look = async (folder: string, inside: string, depth: number): Promise<void> => {
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      if (++seen > limits.entries) return;
      const [whole, name] = [join(folder, entry.name), inside + entry.name];
      if (entry.isDirectory() && depth < limits.depth) await look(whole, `${name}/`, depth + 1);
      else if (!entry.isDirectory() && wants(name)) {
        // Installed libraries are often links beside one another.
        const { size } = entry.isFile() ? await lstat(whole) : await stat(whole);
        members.push(bounded({ path: name, bytes: size, open: async () => createReadStream(whole) }, path));
      }
    }
  };
  await look(path, '', 0);
  return { path, members, close: () => {} };
}

async function openZip(path: string, wants: (member: string) => boolean): Promise<Container> {
  let zip: ZipFile;
  try {
    zip = await openPromise(path, { lazyEntries: true, autoClose: false });
  } catch (cause) {
    throw damaged(path, cause);
  }
  try {
    if (zip.entryCount > limits.entries) throw tooLarge(path, `it has ${zip.entryCount} entries`);
    const members: Member[] = [];
    for await (const entry of zip.eachEntry()) {
      if (!wants(entry.fileName)) continue;
      members.push(bounded(zipMember(zip, entry, path), path));
    }
    return { path, members, close: () => zip.close() };
  } catch (cause) {
    zip.close();
    throw damaged(path, cause);
  }
}

function zipMember(zip: ZipFile, entry: Entry, path: string): Member {
  const { fileName, uncompressedSize, compressedSize } = entry;
  if (uncompressedSize > limits.ratio * Math.max(compressedSize, 1024))
    throw tooLarge(
      path,
      `${fileName} says that it grows from ${compressedSize} to ${uncompressedSize} bytes`,
    );
  // yauzl ends the stream with an error where it holds more or fewer bytes than the entry says.
  return { path: fileName, bytes: uncompressedSize, open: () => zip.openReadStreamPromise(entry) };
}

/** A tar has no table of contents: it is read once for the list, and again up to each member. */
async function openTar(path: string, wants: (member: string) => boolean): Promise<Container> {
  const members: Member[] = [];
  for await (const { name, bytes } of tarEntries(path)) {
    if (!wants(name)) continue;
    const open = async () => Readable.from(tarContent(path, name));
    members.push(bounded({ path: name, bytes, open }, path));
  }
  return { path, members, close: () => {} };
}

async function* tarContent(path: string, wanted: string): AsyncGenerator<Buffer> {
  for await (const { name, content } of tarEntries(path)) {
    if (name !== wanted) continue;
    yield* content();
    return;
  }
}

/** The regular files of a .tgz in order. `content` may be read before the next entry is asked for; else it is skipped. */
async function* tarEntries(
  path: string,
): AsyncGenerator<{ name: string; bytes: number; content: () => AsyncGenerator<Buffer> }> {
  const file = createReadStream(path);
  const gunzip = createGunzip();
  file.on('error', (error) => gunzip.destroy(error));
  const pieces = file.pipe(gunzip)[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let held: Buffer = Buffer.alloc(0);
  /** At most `bytes` of the stream; fewer at a piece's end, none at the end of all. */
  const take = async (bytes: number): Promise<Buffer> => {
    while (held.length === 0) {
      const { value, done } = await pieces.next();
      if (done) return held;
      held = value;
    }
    const part = held.subarray(0, bytes);
    held = held.subarray(part.length);
    return part;
  };
  const takeAll = async (bytes: number): Promise<Buffer> => {
    const parts: Buffer[] = [];
    for (let left = bytes; left > 0; ) {
      const part = await take(left);
      if (part.length === 0) break;
      parts.push(part);
      left -= part.length;
    }
    return Buffer.concat(parts);
  };
  try {
    for (let count = 0; ; count++) {
      if (count > limits.entries) throw tooLarge(path, `it has more than ${limits.entries} entries`);
      const header = await takeAll(512);
      if (header.length < 512) throw new Error('it ends without a last entry');
      if (header.every((byte) => byte === 0)) {
        // The compressed stream's own checksum stands at its end; what lies before it is padding.
        for (let padding = 0; padding < limits.padding; ) {
          const part = await take(limits.padding);
          if (part.length === 0) return;
          padding += part.length;
        }
        throw tooLarge(path, 'it goes on after its last entry');
      }
      const field = (at: number, length: number): string =>
        header.toString('utf8', at, at + length).replace(/\0.*$/s, '');
      const size = Number.parseInt(field(124, 12).trim() || '0', 8);
      if (!Number.isSafeInteger(size) || size < 0 || size > limits.memberBytes)
        throw tooLarge(path, `an entry says that it has ${field(124, 12)} bytes`);
      const prefix = field(257, 6).startsWith('ustar') ? field(345, 155) : '';
      const name = prefix === '' ? field(0, 100) : `${prefix}/${field(0, 100)}`;
      let left = size;
      async function* content(): AsyncGenerator<Buffer> {
        while (left > 0) {
          const part = await take(left);
          if (part.length === 0) throw damaged(path, new Error(`${name} is cut short`));
          left -= part.length;
          yield part;
        }
      }
      if (header[156] === 0x30 || header[156] === 0) yield { name, bytes: size, content };
      for await (const _ of content());
      await takeAll((512 - (size % 512)) % 512);
    }
  } catch (cause) {
    throw damaged(path, cause);
  } finally {
    file.destroy();
    gunzip.destroy();
  }
}

function bounded(member: Member, where: string): Member {
  if (member.bytes > limits.memberBytes)
    throw tooLarge(where, `${member.path} says that it has ${member.bytes} bytes`);
  return member;
}

/** The last part of a member's path, whichever system wrote it. */
export function memberName(path: string): string {
  return basename(path.replaceAll('\\', '/'));
}

/** A whole small member as text. */
export async function memberText(member: Member, maximum = 4 << 20): Promise<string> {
  if (member.bytes > maximum)
    throw archiveError(
      'archive-too-large',
      `${member.path} has ${member.bytes} bytes, more than such a file has.`,
    );
  const parts: Buffer[] = [];
  for await (const part of await member.open()) parts.push(part as Buffer);
  return Buffer.concat(parts).toString('utf8');
}

function tooLarge(path: string, what: string): SessionError {
  return archiveError('archive-too-large', `${path} is no archive of provider files: ${what}.`);
}

function damaged(path: string, cause: unknown): unknown {
  if (cause instanceof SessionError) return cause;
  return archiveError('archive-damaged', `${path} cannot be read: ${(cause as Error).message}.`, cause);
}

export function archiveError(code: string, message: string, cause?: unknown): SessionError {
  const remedy =
    'Give the wheel onnxruntime-gpu or the NuGet package of the named version, or a folder or archive with its files.';
  return new SessionError({ code, message, remedy, cause });
}
