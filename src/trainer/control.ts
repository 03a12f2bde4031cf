// Commands to a running training as lines of a file: whoever can write into the run's folder can steer it, whichever
// process started it and whether or not that one still lives.
import { appendFileSync, closeSync, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type JobCommand, jobFiles } from '../protocol/job';

const commands: readonly string[] = [
  'stop',
  'cancel',
  'checkpoint',
  'pause',
  'continue',
] satisfies JobCommand[];
const maximumBytes = 64 * 1024;

/** Writes a command into a job's or a run's folder. */
export function sendCommand(folder: string, command: JobCommand): void {
  appendFileSync(
    join(folder, jobFiles.control),
    `${JSON.stringify({ command, time: new Date().toISOString() })}\n`,
  );
}

/** Reads the commands of one folder as they come. */
export class ControlFile {
  readonly #path: string;
  #position: number;

  /** With `fromNow`, what stands there already is of an earlier run and does not count. */
  constructor(folder: string, { fromNow }: { fromNow: boolean }) {
    this.#path = join(folder, jobFiles.control);
    this.#position = fromNow ? size(this.#path) : 0;
  }

  /** The commands since the last call. Lines that are none are skipped. */
  take(): JobCommand[] {
    const length = size(this.#path) - this.#position;
    if (length <= 0) return [];
    const text = readText(this.#path, this.#position, Math.min(length, maximumBytes));
    const end = text.lastIndexOf(0x0a) + 1;
    this.#position += end;
    return text
      .subarray(0, end)
      .toString('utf8')
      .split('\n')
      .flatMap((line) => {
        const command = commandOf(line);
        return command === undefined ? [] : [command];
      });
  }
}

function size(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.size ?? 0;
}

function readText(path: string, position: number, length: number): Buffer {
  const file = openSync(path, 'r');
  try {
    const bytes = Buffer.alloc(Math.min(length, fstatSync(file).size));
    return bytes.subarray(0, readSync(file, bytes, 0, bytes.byteLength, position));
  } finally {
    closeSync(file);
  }
}

function commandOf(line: string): JobCommand | undefined {
  try {
    const value: unknown = JSON.parse(line);
    const command = (value as { command?: unknown } | null)?.command;
    return typeof command === 'string' && commands.includes(command) ? (command as JobCommand) : undefined;
  } catch {
    return undefined;
  }
}
