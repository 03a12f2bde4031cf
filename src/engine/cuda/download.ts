// Fetches one file whose checksum is known: aside, with progress, going on where an earlier attempt ended, and given up
// only whole. What was fetched stays beside the target until it is complete.
import { createWriteStream, existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { mkdir, rename, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { SessionError } from '../errors';
import { diskError } from '../files/diskErrors';
import { hashOfFile } from './checksum';
import { request, silenceMs, unreachable } from './http';
import type { Download } from './sources';

export interface DownloadOptions {
  signal: AbortSignal;
  /** `total` is null where nobody tells. */
  onProgress(done: number, total: number | null): void;
  /** Free bytes of the disk that a folder is on; tests put a full one in its place. */
  freeBytes?(folder: string): Promise<number>;
}

/** What tells whether a part belongs to the file that the server has now. */
interface PartFacts {
  url: string;
  checksum: string;
  validator: string | null;
}

export async function freeBytesOf(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** @throws SessionError `disk-full` where `bytes` do not fit. */
export async function assertSpace(
  folder: string,
  bytes: number,
  freeBytes: (folder: string) => Promise<number> = freeBytesOf,
): Promise<void> {
  const free = await freeBytes(folder);
  if (free >= bytes) return;
  throw new SessionError({
    code: 'disk-full',
    message: `The disk of ${folder} has ${free} bytes free; ${bytes} are needed.`,
    remedy: 'Free some space, or set LORA_WORKBENCH_CUDA_FOLDER to a folder on another disk.',
    facts: { free, needed: bytes },
  });
}

/**
 * Fetches into `folder` and returns the file's path; a complete one is there already after a call that failed later.
 * @throws SessionError `download-failed`, `download-damaged`, `disk-full`; the signal's reason when it is aborted.
 */
export async function download(file: Download, folder: string, options: DownloadOptions): Promise<string> {
  const target = join(folder, file.name);
  await mkdir(folder, { recursive: true }).catch((cause) => {
    throw diskError(cause, folder, 'make');
  });
  if (existsSync(target) && (await hashOfFile(target, file.algorithm)) === file.checksum) return target;

  const part = new Part(`${target}.part`, file);
  const total = await fetchInto(part, file, folder, options);
  const found = await hashOfFile(part.path, file.algorithm);
  if (found !== file.checksum) {
    part.remove();
    throw new SessionError({
      code: 'download-damaged',
      message: `${file.url} is not what its index names: the ${file.algorithm} is ${found}, expected ${file.checksum} (${total} bytes).`,
      remedy: 'Try again; if it happens again, fetch the package elsewhere and give it by --from.',
      facts: { url: file.url },
    });
  }
  await rename(part.path, target).catch((cause) => {
    throw diskError(cause, target, 'write');
  });
  part.remove();
  return target;
}

/** A file that is not complete, and what it is a part of. */
class Part {
  readonly facts: string;

  constructor(
    readonly path: string,
    private readonly file: Download,
  ) {
    this.facts = `${path}.json`;
  }

  /** Bytes that can be gone on from, and the validator that the server gave with them. */
  read(): { bytes: number; validator: string | null } {
    try {
      const { url, checksum, validator } = JSON.parse(readFileSync(this.facts, 'utf8')) as PartFacts;
      if (url === this.file.url && checksum === this.file.checksum)
        return { bytes: statSync(this.path).size, validator };
    } catch {
      // There is none.
    }
    return { bytes: 0, validator: null };
  }

  note(validator: string | null): void {
    const facts: PartFacts = { url: this.file.url, checksum: this.file.checksum, validator };
    writeFileSync(this.facts, JSON.stringify(facts));
  }

  remove(): void {
    rmSync(this.path, { force: true });
    rmSync(this.facts, { force: true });
  }
}

/** Brings the part to its full size; returns that. */
async function fetchInto(
  part: Part,
  file: Download,
  folder: string,
  { signal, onProgress, freeBytes }: DownloadOptions,
): Promise<number> {
  const { bytes: have, validator } = part.read();
  if (file.bytes !== null && have === file.bytes) return have;
  // Without a strong validator the checksum alone tells whether the pieces belong together; it decides in the end anyway.
  const range: Record<string, string> =
    have > 0 ? { range: `bytes=${have}-`, ...(validator === null ? {} : { 'if-range': validator }) } : {};
  const silence = new AbortController();
  const either = AbortSignal.any([signal, silence.signal]);
  const timer = setTimeout(
    () => silence.abort(new Error(`it was silent for ${silenceMs / 1000} s`)),
    silenceMs,
  );
  try {
    const response = await request(file.url, either, { 'accept-encoding': 'identity', ...range });
    if (response.status === 416) {
      await response.body?.cancel();
      // The part is as long as the file, or longer; the checksum says which.
      return have;
    }
    const start = response.status === 206 && startOf(response) === have ? have : 0;
    if (response.status === 206 && start !== have)
      throw unreachable(file.url, new Error('it sends another part than was asked for'));
    const length = Number(response.headers.get('content-length') ?? Number.NaN);
    const total = Number.isSafeInteger(length) && length > 0 ? start + length : file.bytes;
    if (total !== null) await assertSpace(folder, total - start, freeBytes);
    const etag = response.headers.get('etag');
    // A weak one is no promise of equal bytes.
    const strong = etag !== null && !etag.startsWith('W/');
    part.note(strong ? etag : response.headers.get('last-modified'));

    let done = start;
    const output = createWriteStream(part.path, { flags: start > 0 ? 'r+' : 'w', start });
    const failed = new Promise<never>((_, reject) => output.once('error', reject));
    failed.catch(() => {});
    const write = async (piece: Uint8Array): Promise<void> => {
      if (!output.write(piece))
        await Promise.race([new Promise<void>((resume) => output.once('drain', resume)), failed]);
    };
    try {
      for await (const piece of response.body ?? []) {
        timer.refresh();
        await write(piece as Uint8Array);
        done += (piece as Uint8Array).byteLength;
        if (file.bytes !== null && done > file.bytes)
          throw new Error(`it sends more than the ${file.bytes} bytes that the index names`);
        onProgress(done, total);
      }
    } finally {
      await Promise.race([new Promise<void>((resume) => output.end(resume)), failed]);
    }
    if (total !== null && done < total) throw new Error(`it ended after ${done} of ${total} bytes`);
    return done;
  } catch (cause) {
    if (signal.aborted) throw signal.reason;
    const disk = diskError(cause, part.path, 'write');
    if (disk !== cause) throw disk;
    throw cause instanceof SessionError ? cause : unreachable(file.url, silence.signal.reason ?? cause);
  } finally {
    clearTimeout(timer);
  }
}

/** Where a partial answer begins, for example `bytes 100-199/200`. */
function startOf(response: Response): number {
  const range = response.headers.get('content-range') ?? '';
  const start = /^bytes (\d+)-/.exec(range)?.[1];
  return start === undefined ? -1 : Number(start);
}
