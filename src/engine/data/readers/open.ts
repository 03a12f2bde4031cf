// In: a dataset file's path. Out: its format and a reader of its rows. The extension decides; where it says nothing, the first bytes do.
import { open as openFile, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { DataError } from '../../errors';
import { readCsv } from './csv';
import { readJson } from './json';
import { readJsonl } from './jsonl';
import { readParquet } from './parquet';
import type { RowReader } from './row';
import { readText } from './text';

export type DatasetFormat = 'jsonl' | 'json' | 'csv' | 'parquet' | 'text';

export const readers: Readonly<Record<DatasetFormat, RowReader>> = {
  jsonl: readJsonl,
  json: readJson,
  csv: readCsv,
  parquet: readParquet,
  text: readText,
};

const formatOfExtension: Readonly<Record<string, DatasetFormat>> = {
  '.jsonl': 'jsonl',
  '.ndjson': 'jsonl',
  '.json': 'json',
  '.csv': 'csv',
  '.tsv': 'csv',
  '.parquet': 'parquet',
  '.txt': 'text',
  '.md': 'text',
};

/** Recognises a file; missing, empty and special files are DataErrors. */
export async function detectFormat(file: string): Promise<DatasetFormat> {
  const info = await stat(file).catch((error: NodeJS.ErrnoException) => error);
  if (info instanceof Error) {
    const missing = info.code === 'ENOENT' || info.code === 'ENOTDIR';
    throw new DataError({
      code: missing ? 'dataset-missing' : 'dataset-unreadable',
      message: missing
        ? `The dataset file ${file} does not exist.`
        : `The dataset file ${file} cannot be read (${info.message}).`,
      remedy: 'Check the path; a path in a recipe is relative to the recipe.',
    });
  }
  if (info.isDirectory()) {
    throw new DataError({
      code: 'dataset-is-folder',
      message: `${file} is a folder, expected a dataset file.`,
      remedy: 'List the files of the folder that are to be trained on.',
    });
  }
  if (!info.isFile()) {
    throw new DataError({
      code: 'dataset-unreadable',
      message: `${file} is not an ordinary file.`,
      remedy: 'Give a JSONL, JSON, CSV, TSV, Parquet or text file.',
    });
  }
  if (info.size === 0) throw emptyFile(file);
  const start = await readStart(file);
  const format = formatOfExtension[extname(file).toLowerCase()];
  if (start.subarray(0, 40).toString('latin1').startsWith('version https://git-lfs')) {
    throw new DataError({
      code: 'dataset-lfs-pointer',
      message: `${file} is a git-LFS pointer, not the data itself.`,
      remedy: 'Run `git lfs pull` in its folder, or download the file from its page.',
    });
  }
  // Many .json files are in fact JSON Lines.
  if (format === 'json' && start.includes(10) && sniff(start) === 'jsonl') return 'jsonl';
  return format ?? sniff(start);
}

export function emptyFile(file: string): DataError {
  return new DataError({
    code: 'dataset-empty',
    message: `${file} has no rows.`,
    remedy: 'Give a file with at least one row, or take it off the list.',
  });
}

function sniff(start: Buffer): DatasetFormat {
  if (start.subarray(0, 4).toString('latin1') === 'PAR1') return 'parquet';
  const text = start
    .toString('utf8')
    .replace(/^\uFEFF/, '')
    .trimStart();
  if (text.startsWith('[')) return 'json';
  if (!text.startsWith('{')) return 'text';
  const [line, ...rest] = text.split('\n');
  const more = rest.some((other) => other.trim() !== '');
  try {
    JSON.parse(line!);
    return more ? 'jsonl' : 'json';
  } catch {
    // A first line longer than what was looked at belongs to a file of one object per line, too.
    return more ? 'json' : 'jsonl';
  }
}

async function readStart(file: string): Promise<Buffer> {
  try {
    const handle = await openFile(file, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(65536), 0, 65536, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw new DataError({
      code: 'dataset-unreadable',
      message: `${file} cannot be read (${(error as Error).message}).`,
      remedy: 'Check the permissions of the file.',
      cause: error,
    });
  }
}
