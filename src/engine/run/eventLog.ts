// A run's events on disk: events.jsonl, one JSON object a line, only ever appended to. The reader lives with a last line
// that a kill tore apart, and with a log that is still growing.
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import type { RunEvent } from '../../protocol/run';
import { diskError } from '../files/diskErrors';

/** Appends events to a log. One writer at a time: the run's lock sees to it. */
export class EventLog {
  private constructor(
    private readonly path: string,
    private readonly file: number,
  ) {}

  /** Opens a log, new or old; a torn last line is closed off so that the next event starts a line of its own. */
  static open(path: string): EventLog {
    try {
      const file = openSync(path, 'a+');
      const { size } = fstatSync(file);
      const last = Buffer.alloc(1);
      if (size > 0 && readSync(file, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a) writeSync(file, '\n');
      return new EventLog(path, file);
    } catch (cause) {
      throw diskError(cause, path, 'write');
    }
  }

  /** Appends one event, in one write. */
  append(event: RunEvent): void {
    const line = Buffer.from(`${JSON.stringify(event)}\n`, 'utf8');
    try {
      for (let done = 0; done < line.byteLength; ) done += writeSync(this.file, line, done);
    } catch (cause) {
      throw diskError(cause, this.path, 'write');
    }
  }

  close(): void {
    closeSync(this.file);
  }
}

export interface ReadEvents {
  events: RunEvent[];
  /** Where to read on, in bytes: after the last whole line. */
  nextByte: number;
  /** Lines that are no events, a torn one at the end not counted. */
  damagedLines: number;
}

const chunkBytes = 1024 * 1024;
/** No event is that long; a line beyond it is skipped without being kept in memory. */
const maximumLineBytes = 4 * 1024 * 1024;

/** Reads the whole lines of a log from a byte on. A log that does not exist has no events. */
export function readEvents(path: string, fromByte = 0): ReadEvents {
  const result: ReadEvents = { events: [], nextByte: fromByte, damagedLines: 0 };
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return result;
    throw diskError(cause, path, 'read');
  }
  try {
    let pending: Buffer[] = [];
    let pendingBytes = 0;
    const chunk = Buffer.alloc(chunkBytes);
    for (let position = fromByte; ; ) {
      const count = readSync(file, chunk, 0, chunkBytes, position);
      if (count === 0) break;
      let start = 0;
      for (let end = chunk.indexOf(0x0a); end >= 0 && end < count; end = chunk.indexOf(0x0a, start)) {
        addLine(Buffer.concat([...pending, chunk.subarray(start, end)]), pendingBytes + end - start, result);
        pending = [];
        pendingBytes = 0;
        start = end + 1;
        result.nextByte = position + start;
      }
      pendingBytes += count - start;
      if (pendingBytes <= maximumLineBytes) pending.push(Buffer.from(chunk.subarray(start, count)));
      else pending = [];
      position += count;
    }
  } finally {
    closeSync(file);
  }
  return result;
}

function addLine(line: Buffer, bytes: number, result: ReadEvents): void {
  if (bytes === 0) return;
  const event = bytes > maximumLineBytes ? undefined : parseEvent(line);
  if (event === undefined) result.damagedLines++;
  else result.events.push(event);
}

function parseEvent(line: Buffer): RunEvent | undefined {
  try {
    const value: unknown = JSON.parse(line.toString('utf8'));
    const isEvent =
      typeof value === 'object' &&
      value !== null &&
      'type' in value &&
      typeof value.type === 'string' &&
      'time' in value &&
      typeof value.time === 'string';
    return isEvent ? (value as RunEvent) : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The events of the run as it counts: where it was resumed from an earlier step, the steps after that one that the
 * interrupted part had already logged are left out.
 */
export function withoutSuperseded(events: readonly RunEvent[]): RunEvent[] {
  let kept: RunEvent[] = [];
  for (const event of events) {
    if (event.type === 'run-started') {
      const from = event.resumedFromStep ?? 0;
      kept = kept.filter((earlier) => !('step' in earlier) || earlier.step === null || earlier.step <= from);
    }
    kept.push(event);
  }
  return kept;
}
