// A run's events on disk: events.jsonl, one JSON object a line, only ever appended to. The reader lives with a last line
// that a kill tore apart, and with a log that is still growing.
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
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

/** Bytes that are read and parsed at once: a few milliseconds' work. */
const pieceBytes = 256 * 1024;
/** No event is that long; a line beyond it is skipped without being kept in memory. */
const maximumLineBytes = 4 * 1024 * 1024;

/** Reads the whole lines of a log from a byte on. A log that does not exist has no events. */
export function readEvents(path: string, fromByte = 0): ReadEvents {
  const result: ReadEvents = { events: [], nextByte: fromByte, damagedLines: 0 };
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (cause) {
    return noLog(cause, path, result);
  }
  try {
    const lines = new WholeLines(fromByte);
    const chunk = Buffer.alloc(pieceBytes);
    for (;;) {
      const count = readSync(file, chunk, 0, pieceBytes, lines.position);
      if (count === 0) break;
      const piece = lines.take(chunk.subarray(0, count));
      for (const event of piece.events) result.events.push(event);
      result.damagedLines += piece.damagedLines;
      result.nextByte = piece.nextByte;
    }
  } finally {
    closeSync(file);
  }
  return result;
}

/**
 * The same piece by piece, for those who must not wait for a long log: between two pieces others have a turn. `nextByte` of
 * the last piece is where to read on.
 */
export async function* readEventPieces(path: string, fromByte = 0): AsyncGenerator<ReadEvents> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (cause) {
    noLog(cause, path, undefined);
    return;
  }
  try {
    const lines = new WholeLines(fromByte);
    const chunk = Buffer.alloc(pieceBytes);
    for (;;) {
      const { bytesRead } = await file.read(chunk, 0, pieceBytes, lines.position);
      if (bytesRead === 0) return;
      yield lines.take(chunk.subarray(0, bytesRead));
      await setImmediate();
    }
  } finally {
    await file.close();
  }
}

function noLog<T>(cause: unknown, path: string, none: T): T {
  if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return none;
  throw diskError(cause, path, 'read');
}

/** Cuts a log's bytes, as they come, into whole lines and parses them. */
class WholeLines {
  /** Behind the last byte taken. */
  position: number;
  #nextByte: number;
  /** A line's beginning that has no end yet; null where it is too long to be kept. */
  #rest: Buffer | null = Buffer.alloc(0);

  constructor(fromByte: number) {
    this.position = fromByte;
    this.#nextByte = fromByte;
  }

  take(bytes: Buffer): ReadEvents {
    const events: RunEvent[] = [];
    let damagedLines = 0;
    const last = bytes.lastIndexOf(0x0a);
    const start = this.position;
    this.position += bytes.length;
    if (last < 0) {
      const length = (this.#rest?.length ?? maximumLineBytes) + bytes.length;
      this.#rest = length > maximumLineBytes ? null : Buffer.concat([this.#rest!, bytes]);
      return { events, nextByte: this.#nextByte, damagedLines };
    }
    let whole = bytes.subarray(0, last);
    if (this.#rest === null) {
      damagedLines++;
      whole = whole.subarray(bytes.indexOf(0x0a) + 1);
    } else if (this.#rest.length > 0) whole = Buffer.concat([this.#rest, whole]);
    for (const line of whole.length === 0 ? [] : whole.toString('utf8').split('\n')) {
      if (line === '') continue;
      const event = line.length > maximumLineBytes ? undefined : parseEvent(line);
      if (event === undefined) damagedLines++;
      else events.push(event);
    }
    this.#rest = Buffer.from(bytes.subarray(last + 1));
    this.#nextByte = start + last + 1;
    return { events, nextByte: this.#nextByte, damagedLines };
  }
}

function parseEvent(line: string): RunEvent | undefined {
  try {
    const value: unknown = JSON.parse(line);
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
      kept = kept.filter((earlier) => !('step' in earlier) || (earlier.step ?? 0) <= from);
    }
    kept.push(event);
  }
  return kept;
}
