// In: a file. Out: its lines with their numbers, checked to be UTF-8. Reads piece by piece; knows nothing of what a line means.
import { createReadStream } from 'node:fs';
import { DataError } from '../../errors';
import { RowProblem } from '../rowProblem';

export interface Line {
  /** From 1. */
  number: number;
  text?: string;
  problem?: RowProblem;
}

const newline = 10;
const carriageReturn = 13;

/** Reads lines; a byte order mark is dropped, "\r\n" counts as "\n". A line that is too long or not UTF-8 is a problem. */
export async function* readLines(file: string, maxBytes: number): AsyncGenerator<Line> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let number = 0;
  let held: Buffer[] = [];
  let heldBytes = 0;
  let tooLong = false;

  const finish = (last: Buffer): Line => {
    number++;
    const bytes = held.length === 0 ? last : Buffer.concat([...held, last]);
    const long = tooLong || bytes.length > maxBytes;
    held = [];
    heldBytes = 0;
    tooLong = false;
    if (long) {
      return {
        number,
        problem: new RowProblem(
          `the line has more than ${maxBytes} bytes.`,
          'Split the row, or check that the file has line ends.',
        ),
      };
    }
    const end = bytes.at(-1) === carriageReturn ? bytes.length - 1 : bytes.length;
    try {
      const text = decoder.decode(bytes.subarray(0, end));
      return { number, text: number === 1 ? text.replace(/^\uFEFF/, '') : text };
    } catch {
      return { number, problem: notUtf8() };
    }
  };

  let first = true;
  for await (const chunk of readChunks(file)) {
    if (first) refuseOtherEncodings(file, chunk);
    first = false;
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0; at = chunk.indexOf(newline, from)) {
      yield finish(chunk.subarray(from, at));
      from = at + 1;
    }
    const rest = chunk.subarray(from);
    if (rest.length > 0) {
      heldBytes += rest.length;
      // Past the limit the bytes are no longer kept: a file without line ends must not fill the memory.
      if (heldBytes > maxBytes) {
        tooLong = true;
        held = [];
      } else held.push(rest);
    }
  }
  if (heldBytes > 0) yield finish(Buffer.alloc(0));
}

/** The file's bytes, a megabyte at a time; a failure to read is a DataError. */
export async function* readChunks(file: string): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of createReadStream(file, { highWaterMark: 1 << 20 })) yield chunk as Buffer;
  } catch (error) {
    if (error instanceof DataError || error instanceof RowProblem) throw error;
    throw new DataError({
      code: 'dataset-unreadable',
      message: `${file} cannot be read (${(error as Error).message}).`,
      remedy: 'Check the path and the permissions of the file.',
      cause: error,
    });
  }
}

export function notUtf8(): RowProblem {
  return new RowProblem('the text is not valid UTF-8.', 'Save the file as UTF-8.', 'dataset-not-utf8');
}

/** UTF-16 and binary files are refused as a whole: line by line they would give one problem per line. */
export function refuseOtherEncodings(file: string, start: Buffer): void {
  const utf16 = (start[0] === 0xff && start[1] === 0xfe) || (start[0] === 0xfe && start[1] === 0xff);
  if (!utf16 && !start.subarray(0, 4096).includes(0)) return;
  throw new DataError({
    code: 'dataset-not-utf8',
    message: `${file} ${utf16 ? 'is UTF-16 text' : 'holds zero bytes, so it is not a text file'}; datasets are UTF-8 text or Parquet.`,
    remedy: utf16 ? 'Save the file as UTF-8.' : 'Give a JSONL, JSON, CSV, TSV, Parquet or UTF-8 text file.',
  });
}
