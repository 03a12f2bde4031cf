// Writes a file or a folder whole or not at all: aside, flushed, then renamed into place. Knows nothing of contents.
import * as nodeFs from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { RunError } from '../errors';
import { diskError, errnoOf } from './diskErrors';

/** The file operations used here; tests put a failing one in place of node's. */
export type FileOperations = Pick<
  typeof nodeFs,
  'open' | 'rename' | 'rm' | 'mkdir' | 'readdir' | 'stat' | 'lstat'
>;

export type FileContent = string | Uint8Array | AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

let serial = 0;
/** The asides of writes now under way here; a restarted container may meet its own process id in old remains. */
const underWay = new Set<string>();

/** `.name.new-<pid>-<n>` beside the target: hidden, on the same file system, and tells who is writing it. */
function aside(path: string, mark: 'new' | 'old'): string {
  const name = join(dirname(path), `.${basename(path)}.${mark}-${process.pid}-${serial++}`);
  underWay.add(name);
  return name;
}

function isBeingWritten(remains: string, pid: number): boolean {
  if (pid === process.pid) return underWay.has(remains);
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errnoOf(error) === 'EPERM';
  }
}

async function exists(path: string, fs: FileOperations): Promise<boolean> {
  return fs.lstat(path).then(
    () => true,
    () => false,
  );
}

/**
 * Clears what a killed writer left beside `path`: puts the old content back if the kill fell between the two
 * renames, else removes the remains. Does nothing while the writer lives. Every write calls it; a reader calls
 * it when it finds nothing at `path`.
 */
export async function recover(path: string, fs: FileOperations = nodeFs): Promise<void> {
  const target = resolve(path);
  const folder = dirname(target);
  const prefix = `.${basename(target)}.`;
  let names: string[];
  try {
    names = await fs.readdir(folder);
  } catch {
    return; // No folder, no remains.
  }
  for (const name of names.filter((candidate) => candidate.startsWith(prefix))) {
    const match = /^(new|old)-(\d+)-\d+$/.exec(name.slice(prefix.length));
    const remains = join(folder, name);
    if (!match || isBeingWritten(remains, Number(match[2]))) continue;
    if (match[1] === 'old' && !(await exists(target, fs))) await fs.rename(remains, target);
    else await fs.rm(remains, { recursive: true, force: true });
  }
}

/** Windows cannot open a folder to flush it; there the rename itself is journalled. */
async function flushFolder(path: string, fs: FileOperations): Promise<void> {
  if (process.platform === 'win32') return;
  const handle = await fs.open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function flushTree(folder: string, fs: FileOperations): Promise<void> {
  for (const entry of await fs.readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await flushTree(path, fs);
    else if (entry.isFile()) {
      const handle = await fs.open(path, 'r+');
      try {
        await handle.sync();
      } finally {
        await handle.close();
      }
    }
  }
  await flushFolder(folder, fs);
}

/** On Windows a scanner or an indexer may hold a fresh file for a moment. */
async function renameInto(from: string, to: string, fs: FileOperations): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await fs.rename(from, to);
    } catch (error) {
      const transient =
        process.platform === 'win32' && ['EPERM', 'EBUSY', 'EACCES'].includes(errnoOf(error) ?? '');
      if (!transient || attempt === 5) throw error;
      await new Promise((done) => setTimeout(done, 20 * 2 ** attempt));
    }
  }
}

/** Removal of our own remains must not hide the error that caused it. */
async function discard(path: string, fs: FileOperations): Promise<void> {
  await fs.rm(path, { recursive: true, force: true }).catch(() => undefined);
}

/**
 * Writes `data` to `path`, replacing what is there in one step. A reader sees the old file or the new one.
 * The folder must exist. Throws RunError for a full disk, a read-only or missing folder and the like; whatever
 * `data` throws while it is read passes through. Nothing half-written is left in either case.
 */
export async function writeFileAtomic(
  path: string,
  data: FileContent,
  fs: FileOperations = nodeFs,
): Promise<void> {
  const target = resolve(path);
  const temporary = aside(target, 'new');
  try {
    await recover(target, fs);
    const handle = await fs.open(temporary, 'wx');
    try {
      if (typeof data === 'string' || data instanceof Uint8Array) await handle.writeFile(data);
      else for await (const chunk of data) await writeWhole(handle, chunk);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await renameInto(temporary, target, fs);
    await flushFolder(dirname(target), fs);
  } catch (error) {
    await discard(temporary, fs);
    throw diskError(error, target, 'write');
  } finally {
    underWay.delete(temporary);
  }
}

/** One write call may take less than it is given. */
async function writeWhole(handle: nodeFs.FileHandle, chunk: Uint8Array): Promise<void> {
  for (let done = 0; done < chunk.byteLength; ) {
    done += (await handle.write(chunk, done, chunk.byteLength - done)).bytesWritten;
  }
}

/**
 * Lets `fill` write a folder aside and puts it at `dir`, replacing the folder there with all it holds.
 * The parent must exist. The old content is renamed aside and removed only once the new one is in place, so at
 * every moment one of the two is whole on disk; after a kill `recover` restores it. Throws RunError as
 * `writeFileAtomic` does; other errors of `fill` pass through.
 */
export async function writeFolderAtomic(
  dir: string,
  fill: (temporaryFolder: string) => Promise<void>,
  fs: FileOperations = nodeFs,
): Promise<void> {
  const target = resolve(dir);
  const temporary = aside(target, 'new');
  const old = aside(target, 'old');
  try {
    await recover(target, fs);
    const present = await fs.stat(target).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (present && !present.isDirectory()) {
      throw Object.assign(new Error('not a directory'), { code: 'ENOTDIR' });
    }
    await fs.mkdir(temporary);
    await fill(temporary);
    await flushTree(temporary, fs);
    if (present) await renameInto(target, old, fs);
    try {
      await renameInto(temporary, target, fs);
    } catch (error) {
      if (present) await renameInto(old, target, fs);
      throw error;
    }
    await flushFolder(dirname(target), fs);
  } catch (error) {
    await discard(temporary, fs);
    // What failed inside the temporary folder is told of the folder that the caller knows.
    const failed = error instanceof RunError && errnoOf(error.cause) ? error.cause : error;
    throw diskError(failed, target, 'write the folder');
  } finally {
    underWay.delete(temporary);
    underWay.delete(old);
  }
  // The new folder is in place; a failure to remove the old one is cleared by the next write.
  await discard(old, fs);
}
