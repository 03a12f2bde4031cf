// How a trainer's process ended, its last lines → the report that its run keeps.
import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import * as vscode from 'vscode';
import type { ErrorReport } from '../../protocol/errors';

export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
  /** Why the process could not be started. */
  error: string | undefined;
}

const tailBytes = 4096;
const keptLines = 8;
const memoryWords = /out of memory|bad_?alloc|failed to allocate|cannot allocate|ENOMEM|heap limit/i;

/** The last lines of a log file. */
export function lastLines(path: string): string[] {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch {
    return [];
  }
  try {
    const { size } = fstatSync(file);
    const bytes = Buffer.alloc(Math.min(size, tailBytes));
    readSync(file, bytes, 0, bytes.byteLength, Math.max(0, size - tailBytes));
    return bytes
      .toString('utf8')
      .split('\n')
      .filter((line) => line.trim() !== '')
      .slice(-keptLines);
  } finally {
    closeSync(file);
  }
}

/** The report of a trainer that ended without one of its own. `exit` is undefined where nobody saw the end. */
export function deathReport(
  exit: Exit | undefined,
  killedByUser: boolean,
  step: number | null,
  log: readonly string[],
): ErrorReport {
  const { l10n } = vscode;
  const memory = log.some((line) => memoryWords.test(line));
  const how =
    exit?.error !== undefined
      ? l10n.t('could not start: {0}', exit.error)
      : killedByUser
        ? l10n.t('was ended from the editor')
        : exit?.signal
          ? l10n.t('was ended by signal {0}', exit.signal)
          : exit?.code
            ? l10n.t('ended with code {0}', exit.code)
            : l10n.t('is gone');
  const at = step === null ? l10n.t('before the first step') : l10n.t('after step {0}', step);
  const lines = log.length === 0 ? '' : `\n${log.map((line) => `  ${line}`).join('\n')}`;
  const code = memory ? 'out-of-memory' : 'trainer-died';
  return {
    code,
    message: `${l10n.t('The trainer process {0} {1}.', how, at)}${lines}`,
    remedy: remedy(exit, killedByUser, memory),
    facts: { signal: exit?.signal ?? null, exitCode: exit?.code ?? null, lastStep: step },
  };
}

function remedy(exit: Exit | undefined, killedByUser: boolean, memory: boolean): string {
  const { l10n } = vscode;
  if (killedByUser) return l10n.t('Resume it from its last checkpoint.');
  if (exit?.error !== undefined)
    return l10n.t('Set loraWorkbench.nodePath to a Node.js of version 20 or newer.');
  if (memory || exit?.signal === 'SIGKILL' || exit === undefined) {
    return l10n.t(
      'The system ends processes so when memory runs out: lower per_device_train_batch_size or max_length, then resume.',
    );
  }
  return l10n.t('Run Doctor, look at the log, then resume.');
}
