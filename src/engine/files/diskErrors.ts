// Turns what the operating system says about a disk (an errno) into a RunError that names the path and the remedy. Knows nothing of what is being written.
import { readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { RunError, UserError, type UserErrorOptions } from '../errors';

interface DiskProblem {
  code: string;
  /** Completes "Could not <doing> <path>: …". */
  reason: string;
  remedy: string;
}

const full: DiskProblem = {
  code: 'disk-full',
  reason: 'the disk or the quota is full',
  remedy: 'Free some space or choose a folder on another disk, then try again.',
};
const readOnly: DiskProblem = {
  code: 'folder-read-only',
  reason: 'writing there is not allowed',
  remedy: 'Choose a folder that you may write to, or change its permissions.',
};

const byErrno: Record<string, DiskProblem> = {
  ENOSPC: full,
  EDQUOT: full,
  EROFS: readOnly,
  EACCES: readOnly,
  EPERM: readOnly,
  ENOENT: {
    code: 'folder-missing',
    reason: 'the folder does not exist, or vanished meanwhile',
    remedy: 'Create the folder, or put back the disk that it was on, then try again.',
  },
  ENOTDIR: {
    code: 'not-a-folder',
    reason: 'a file stands where a folder is needed',
    remedy: 'Move that file away or choose another path.',
  },
  EISDIR: {
    code: 'not-a-file',
    reason: 'a folder stands where a file is needed',
    remedy: 'Move that folder away or choose another path.',
  },
  ENAMETOOLONG: {
    code: 'name-too-long',
    reason: 'the name is longer than the file system allows',
    remedy: 'Choose a shorter name or path.',
  },
  EMFILE: {
    code: 'too-many-open-files',
    reason: 'too many files are open',
    remedy: 'Close other programs or raise the limit on open files (ulimit -n), then try again.',
  },
  EIO: {
    code: 'disk-failure',
    reason: 'the disk reported a failure',
    remedy: 'Check the disk and its connection, or choose another one.',
  },
  EFBIG: {
    code: 'file-too-large',
    reason: 'the file is larger than the file system allows',
    remedy: 'Choose a folder on a file system that takes files of this size.',
  },
};
byErrno.EEXIST = byErrno.ENOTDIR!;
byErrno.ENFILE = byErrno.EMFILE!;

/** The errno name of a system error (`ENOSPC`), or undefined for any other value. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error)) return undefined;
  return typeof error.code === 'string' && /^E[A-Z0-9]+$/.test(error.code) ? error.code : undefined;
}

/**
 * The error to throw when `doing` (an infinitive, "write") failed on `path`.
 * A known errno becomes a RunError; a UserError or anything that is no disk failure comes back unchanged.
 */
export function diskError(error: unknown, path: string, doing: string): unknown {
  if (error instanceof UserError) return error;
  const errno = errnoOf(error);
  const problem = errno === undefined ? undefined : byErrno[errno];
  if (!problem) return error;
  return new RunError({
    code: problem.code,
    message: `Could not ${doing} ${path}: ${problem.reason} (${errno}).`,
    remedy: problem.remedy,
    facts: { path, errno: errno ?? null },
    cause: error,
  });
}

/**
 * The error to throw when reading `path` failed: an `ErrorClass` with the code `<prefix>-missing` or
 * `<prefix>-unreadable`. Anything that is no disk failure comes back unchanged.
 */
export function readError(
  error: unknown,
  path: string,
  ErrorClass: new (options: UserErrorOptions) => UserError,
  prefix: string,
): unknown {
  const errno = errnoOf(error);
  if (!errno) return error;
  const missing = errno === 'ENOENT' || errno === 'ENOTDIR';
  const target = missing ? linkTarget(path) : undefined;
  if (target !== undefined) {
    // In a hub cache the file itself lies elsewhere; where it was cleared away, the link stays.
    return new ErrorClass({
      code: `${prefix}-missing`,
      message: `${path} is a link to ${target}, which does not exist.`,
      remedy: `Download ${basename(path)} again, or put back what the link leads to.`,
      cause: error,
    });
  }
  return new ErrorClass({
    code: missing ? `${prefix}-missing` : `${prefix}-unreadable`,
    message: missing
      ? `${path} does not exist.`
      : `${path} ${errno === 'EISDIR' ? 'is a folder where a file is expected' : 'cannot be read'} (${errno}).`,
    remedy: missing
      ? `Put ${basename(path)} there or give another path.`
      : 'Check that it is what its name says and that you may read it.',
    cause: error,
  });
}

/** Where a symbolic link leads; undefined for anything else. */
function linkTarget(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}
