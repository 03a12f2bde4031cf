// Keeps two trainers out of one run: a lock file that names its holder. A holder that is dead loses the lock.
import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { RunError } from '../errors';
import { diskError } from '../files/diskErrors';

interface Holder {
  pid: number;
  host: string;
  /** The process's start in clock ticks since boot, where /proc tells; a process id alone may be used again. */
  started: string | null;
  /** Tells our own lock from one that took its place. */
  token: string;
  /** What it is held for, for example a run's folder. */
  subject: string | null;
}

/** On another machine's lock only its age tells: the holder touches it every `touchMs`. */
const touchMs = 30_000;
const foreignStaleMs = 10 * touchMs;

/** A held lock. */
export class RunLock {
  private readonly timer: NodeJS.Timeout;

  private constructor(
    private readonly path: string,
    private readonly holder: Holder,
  ) {
    this.timer = setInterval(() => this.touch(), touchMs);
    this.timer.unref();
  }

  /**
   * Takes the lock, from a dead holder too. `subject` tells others what it is held for.
   * @throws RunError `run-locked` where a live process holds it.
   */
  static take(path: string, subject: string | null = null): RunLock {
    const holder: Holder = {
      pid: process.pid,
      host: hostname(),
      started: startOf(process.pid),
      token: randomUUID(),
      subject,
    };
    for (let attempt = 0; attempt < 5; attempt++) {
      try {
        writeFileSync(path, `${JSON.stringify(holder)}\n`, { flag: 'wx' });
        return new RunLock(path, holder);
      } catch (cause) {
        const { code } = cause as NodeJS.ErrnoException;
        // A full disk takes the name, but not the content.
        if (code === 'ENOSPC' || code === 'EDQUOT') rmSync(path, { force: true });
        if (code !== 'EEXIST') throw diskError(cause, path, 'write');
      }
      const other = readHolder(path);
      if (other !== undefined && isAlive(other, path)) {
        throw new RunError({
          code: 'run-locked',
          message: `Process ${other.pid} on ${other.host} is training in this run already (${path}).`,
          remedy: 'Wait for it or stop it, or give another output_dir.',
          facts: { pid: other.pid, host: other.host, subject: other.subject },
        });
      }
      removeStale(path);
    }
    throw new RunError({
      code: 'run-locked',
      message: `Other processes keep taking the lock ${path}.`,
      remedy: 'Start one training per output_dir.',
    });
  }

  /** Gives the lock back; does nothing if it is no longer ours. */
  release(): void {
    clearInterval(this.timer);
    if (readHolder(this.path)?.token === this.holder.token) rmSync(this.path, { force: true });
  }

  private touch(): void {
    try {
      const now = new Date();
      utimesSync(this.path, now, now);
    } catch {
      // The folder may be gone; the next write of the run reports it.
    }
  }
}

/** Whether a live process holds the lock at `path`. */
export function isLocked(path: string): boolean {
  const holder = readHolder(path);
  return holder !== undefined && isAlive(holder, path);
}

/** Moves the lock aside before removing it, so that of two processes that find it stale only one removes it. */
function removeStale(path: string): void {
  const aside = `${path}.stale-${process.pid}-${randomUUID()}`;
  try {
    renameSync(path, aside);
    rmSync(aside, { force: true });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') throw diskError(cause, path, 'remove');
  }
}

function readHolder(path: string): Holder | undefined {
  try {
    const value: unknown = JSON.parse(readFileSync(path, 'utf8'));
    const holder = value as Partial<Holder> | null;
    return typeof holder?.pid === 'number' &&
      Number.isSafeInteger(holder.pid) &&
      typeof holder.host === 'string'
      ? {
          pid: holder.pid,
          host: holder.host,
          started: holder.started ?? null,
          token: String(holder.token),
          subject: typeof holder.subject === 'string' ? holder.subject : null,
        }
      : undefined;
  } catch {
    return undefined;
  }
}

function isAlive(holder: Holder, path: string): boolean {
  if (holder.host !== hostname()) {
    try {
      return Date.now() - statSync(path).mtimeMs < foreignStaleMs;
    } catch {
      return false;
    }
  }
  try {
    process.kill(holder.pid, 0);
  } catch (cause) {
    return (cause as NodeJS.ErrnoException).code === 'EPERM';
  }
  const started = startOf(holder.pid);
  return started === null || holder.started === null || started === holder.started;
}

/** Field 22 of /proc/<pid>/stat; null where there is no /proc. */
function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field, the name in parentheses, may hold spaces; field 22 is the 20th after it.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    return null;
  }
}
