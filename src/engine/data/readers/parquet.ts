// In: a Parquet file. Out: its rows as plain values (numbers, texts, lists, objects), one row group in memory at a time.

import type { FileHandle } from 'node:fs/promises';
import { open } from 'node:fs/promises';
import type { AsyncBuffer } from 'hyparquet';
import { parquetMetadataAsync, parquetReadObjects } from 'hyparquet';
import { compressors } from 'hyparquet-compressors';
import { DataError } from '../../errors';
import type { ReadOptions, SourceRow } from './row';

/** A row group is decoded whole; writers keep them near 128 MB. */
const maxGroupBytes = 2 * 1024 ** 3;
const magic = 'PAR1';

export async function* readParquet(file: string, _options: ReadOptions): AsyncGenerator<SourceRow> {
  const handle = await open(file, 'r');
  try {
    const size = (await handle.stat()).size;
    await checkMagic(file, handle, size);
    const buffer: AsyncBuffer = { byteLength: size, slice: (start, end) => slice(handle, size, start, end) };
    let from = 0;
    try {
      const metadata = await parquetMetadataAsync(buffer);
      for (const group of metadata.row_groups) {
        const count = Number(group.num_rows);
        if (Number(group.total_byte_size) > maxGroupBytes) {
          throw new Error(
            `a row group of ${group.total_byte_size} bytes is more than the ${maxGroupBytes} that are read`,
          );
        }
        const range = { rowStart: from, rowEnd: from + count };
        const rows = await parquetReadObjects({ file: buffer, metadata, compressors, ...range });
        if (rows.length !== count)
          throw new Error(`a row group has ${rows.length} rows, its header says ${count}`);
        for (let i = 0; i < count; i++) yield { row: from + i + 1, line: null, value: plain(rows[i]) };
        from += count;
      }
    } catch (error) {
      throw brokenParquet(file, `${(error as Error).message}${from > 0 ? `, after row ${from}` : ''}`, error);
    }
  } finally {
    await handle.close();
  }
}

async function checkMagic(file: string, handle: FileHandle, size: number): Promise<void> {
  const text = async (at: number) => Buffer.from(await slice(handle, size, at, at + 4)).toString('latin1');
  if (size < 12 || (await text(0)) !== magic) throw brokenParquet(file, 'it does not begin with PAR1');
  if ((await text(size - 4)) !== magic)
    throw brokenParquet(file, 'it does not end with PAR1, so it was cut off');
}

async function slice(handle: FileHandle, size: number, start: number, end = size): Promise<ArrayBuffer> {
  const from = start < 0 ? Math.max(0, size + start) : start;
  const to = Math.min(end, size);
  if (!(from >= 0 && to >= from)) throw new Error(`it points at bytes ${start} to ${end} of ${size}`);
  const bytes = new Uint8Array(to - from);
  let done = 0;
  while (done < bytes.length) {
    const { bytesRead } = await handle.read(bytes, done, bytes.length - done, from + done);
    if (bytesRead === 0) throw new Error('it became shorter while being read');
    done += bytesRead;
  }
  return bytes.buffer;
}

/** Parquet's own types as JSON would have them: whole numbers beyond 2^53 and dates become text. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('utf8');
  if (ArrayBuffer.isView(value)) return Array.from(value as unknown as ArrayLike<unknown>, plain);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
  }
  return value;
}

function brokenParquet(file: string, what: string, cause?: unknown): DataError {
  return new DataError({
    code: 'dataset-broken-parquet',
    message: `${file} is not a whole Parquet file: ${what}.`,
    remedy: 'Download or write the file again; a JSONL or CSV export of it works as well.',
    cause,
  });
}
