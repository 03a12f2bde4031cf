// A dataset file as rows that can be asked for anywhere. JSON Lines are indexed by the places of their lines, so that a large
// file opens at once; other formats are read from the start and kept. It knows nothing of tokens.
import { createReadStream } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { type DatasetFormat, dataDefaults } from '../../engine/data';
import { parseRow } from '../../engine/data/readers/jsonl';
import { refuseOtherEncodings } from '../../engine/data/readers/lines';
import { readers } from '../../engine/data/readers/open';
import type { SourceRow, TextSplit } from '../../engine/data/readers/row';
import { RowProblem } from '../../engine/data/rowProblem';

export interface RowSource {
  /** Rows known so far. */
  readonly count: number;
  readonly complete: boolean;
  /** Learns of more rows. */
  grow(): Promise<void>;
  /** Rows [from, from + count) of those known. */
  read(from: number, count: number): Promise<SourceRow[]>;
  close(): Promise<void>;
}

const maxRowBytes = dataDefaults.max_row_bytes;
const chunkBytes = 4 * 2 ** 20;
/** Rows that other formats keep in memory. */
const keptRows = 400_000;
const grownAtOnce = 2000;

export function openSource(file: string, format: DatasetFormat, textSplit: TextSplit): RowSource {
  return format === 'jsonl' ? new LineSource(file) : new StreamSource(file, format, textSplit);
}

/** Numbers that grow in place. */
class Numbers {
  #values = new Float64Array(4096);
  length = 0;

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Float64Array(2 * this.length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.length++] = value;
  }

  at(index: number): number {
    return this.#values[index]!;
  }
}

class LineSource implements RowSource {
  /** Byte at which a row begins and ends, and its line, from 1. */
  readonly #starts = new Numbers();
  readonly #ends = new Numbers();
  readonly #lines = new Numbers();
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: false });
  #handle: FileHandle | undefined;
  complete = false;

  constructor(private readonly file: string) {}

  get count(): number {
    return this.#starts.length;
  }

  /** One pass over the bytes; a hundred megabytes take a fraction of a second. */
  async grow(): Promise<void> {
    if (this.complete) return;
    let base = 0;
    let start = 0;
    let line = 0;
    let blank = true;
    const finish = (end: number): void => {
      line++;
      if (!blank) {
        this.#starts.push(start);
        this.#ends.push(end);
        this.#lines.push(line);
      }
      start = end + 1;
      blank = true;
    };
    for await (const chunk of createReadStream(this.file, {
      highWaterMark: chunkBytes,
    }) as AsyncIterable<Buffer>) {
      if (base === 0) refuseOtherEncodings(this.file, chunk);
      let from = 0;
      for (;;) {
        const at = chunk.indexOf(10, from);
        const end = at < 0 ? chunk.length : at;
        for (let i = from; blank && i < end; i++) blank = isSpace(chunk[i]!);
        if (at < 0) break;
        finish(base + at);
        from = at + 1;
      }
      base += chunk.length;
    }
    if (start < base) finish(base);
    this.complete = true;
  }

  async read(from: number, count: number): Promise<SourceRow[]> {
    const to = Math.min(this.count, from + count);
    if (from >= to) return [];
    this.#handle ??= await open(this.file, 'r');
    const rows: SourceRow[] = [];
    let at = from;
    while (at < to) {
      // Rows that lie together are read together, up to a bound.
      let last = at;
      const first = this.#starts.at(at);
      while (last + 1 < to && this.#ends.at(last + 1) - first <= chunkBytes) last++;
      const bytes = Buffer.alloc(Math.min(this.#ends.at(last) - first, chunkBytes + maxRowBytes));
      await this.#handle.read(bytes, 0, bytes.length, first);
      for (; at <= last; at++) rows.push(this.#row(at, bytes, first));
    }
    return rows;
  }

  async close(): Promise<void> {
    await this.#handle?.close();
    this.#handle = undefined;
  }

  #row(index: number, bytes: Buffer, first: number): SourceRow {
    const [start, end] = [this.#starts.at(index), this.#ends.at(index)];
    const place = { row: index + 1, line: this.#lines.at(index) };
    if (end - start > maxRowBytes) {
      const problem = new RowProblem(
        `the line has more than ${maxRowBytes} bytes.`,
        'Split the row, or check that the file has line ends.',
      );
      return { ...place, problem };
    }
    try {
      return { ...place, ...parseRow(this.#decoder.decode(bytes.subarray(start - first, end - first))) };
    } catch {
      const problem = new RowProblem(
        'the text is not valid UTF-8.',
        'Save the file as UTF-8.',
        'dataset-not-utf8',
      );
      return { ...place, problem };
    }
  }
}

const isSpace = (byte: number): boolean =>
  byte === 32 || byte === 9 || byte === 13 || byte === 0xef || byte === 0xbb || byte === 0xbf;

class StreamSource implements RowSource {
  readonly #rows: SourceRow[] = [];
  readonly #reader: AsyncGenerator<SourceRow>;
  complete = false;

  constructor(file: string, format: DatasetFormat, textSplit: TextSplit) {
    this.#reader = readers[format](file, { maxRowBytes, textSplit });
  }

  get count(): number {
    return this.#rows.length;
  }

  async grow(): Promise<void> {
    for (let n = 0; n < grownAtOnce && !this.complete; n++) {
      const next = await this.#reader.next();
      if (next.done) this.complete = true;
      else this.#rows.push(next.value);
      if (this.#rows.length >= keptRows) {
        this.complete = true;
        await this.#reader.return(undefined);
      }
    }
  }

  async read(from: number, count: number): Promise<SourceRow[]> {
    return this.#rows.slice(from, from + count);
  }

  async close(): Promise<void> {
    this.complete = true;
    await this.#reader.return(undefined);
  }
}
