// In: a CSV or TSV file with a header line. Out: one object of texts per record, with the line where the record ends in the file. Records after broken quotes are not read.

import { Readable } from 'node:stream';
import type { CsvError } from 'csv-parse';
import { parse } from 'csv-parse';
import { DataError } from '../../errors';
import { RowProblem } from '../rowProblem';
import { notUtf8, readChunks, refuseOtherEncodings } from './lines';
import type { ReadOptions, SourceRow } from './row';

interface ParsedRecord {
  record: string[];
  info: { lines: number };
}

/** Reads records; the delimiter is a tab for .tsv, else the one of , ; and tab that the header line has most. */
export async function* readCsv(file: string, options: ReadOptions): AsyncGenerator<SourceRow> {
  const chunks = readChunks(file);
  const first = await chunks.next();
  if (first.done) return;
  refuseOtherEncodings(file, first.value);
  const delimiter = file.toLowerCase().endsWith('.tsv') ? '\t' : commonDelimiter(first.value);
  // The first record with broken quotes ends the reading: where the next one begins is anybody's guess.
  let broken: CsvError | null = null;
  const parser = parse({
    bom: true,
    delimiter,
    info: true,
    relax_column_count: true,
    skip_empty_lines: true,
    skip_records_with_error: true,
    on_skip: (error) => {
      broken ??= error ?? null;
      return undefined;
    },
    max_record_size: options.maxRowBytes,
  });
  const source = Readable.from(decoded(file, first.value, chunks));
  source.on('error', (error) => parser.destroy(error));
  source.pipe(parser);

  let header: string[] | null = null;
  let row = 0;
  try {
    for await (const { record, info } of parser as AsyncIterable<ParsedRecord>) {
      if (broken !== null && info.lines >= lineOf(broken)) break;
      if (!header) {
        header = record.map((name) => name.trim());
        checkHeader(file, header);
        continue;
      }
      row++;
      if (record.length === header.length) {
        const value = Object.fromEntries(header.map((name, i) => [name, record[i]!]));
        yield { row, line: info.lines, value };
      } else {
        const message = `the record has ${record.length} fields, the header ${header.length}.`;
        yield { row, line: info.lines, problem: new RowProblem(message, raggedRemedy(delimiter)) };
      }
    }
  } finally {
    source.destroy();
    parser.destroy();
  }
  if (broken !== null) yield { row: row + 1, line: lineOf(broken), problem: csvProblem(broken) };
}

function lineOf(error: CsvError): number {
  return Number(error.lines);
}

function csvProblem(error: Error): RowProblem {
  return new RowProblem(
    `the record cannot be read, nor what follows it (${error.message.replace(/\.$/, '')}).`,
    'Put texts with commas, quotes or line ends in double quotes, and double the quotes inside.',
  );
}

function raggedRemedy(delimiter: string): string {
  const name = delimiter === '\t' ? 'tabs' : `"${delimiter}"`;
  return `Give every record as many fields as the header; put texts with ${name} in double quotes.`;
}

function checkHeader(file: string, header: string[]): void {
  const twice = header.filter((name, i) => name === '' || header.indexOf(name) !== i);
  if (twice.length === 0) return;
  throw new DataError({
    code: 'dataset-broken-header',
    message: `${file}:1: the header has ${twice.includes('') ? 'a column without a name' : `the column ${twice[0]} twice`} (${header.join(', ').slice(0, 200)}).`,
    remedy: 'Give each column of the first line a name of its own.',
  });
}

/** Checks the encoding on the way: the parser itself would turn broken bytes into U+FFFD. */
async function* decoded(file: string, first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let line = 1;
  const decode = (chunk?: Buffer): string => {
    try {
      const text = decoder.decode(chunk, { stream: chunk !== undefined });
      if (chunk) for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, at + 1)) line++;
      return text;
    } catch {
      const problem = notUtf8();
      const at = line + brokenLine(chunk);
      throw new DataError({
        code: problem.code,
        message: `${file}:${at}: ${problem.message}`,
        remedy: problem.remedy,
      });
    }
  };
  yield decode(first);
  for await (const chunk of rest) yield decode(chunk);
  yield decode();
}

/** Lines before the first broken byte of a chunk. */
function brokenLine(chunk: Buffer | undefined): number {
  const read = chunk?.toString('utf8') ?? '';
  const at = read.indexOf('\uFFFD');
  return at < 0 ? 0 : read.slice(0, at).split('\n').length - 1;
}

function commonDelimiter(start: Buffer): string {
  const header = start.subarray(0, 65536).toString('utf8').split('\n')[0]!;
  const counts = [',', ';', '\t'].map((sign) => [sign, header.split(sign).length] as const);
  return counts.sort((a, b) => b[1] - a[1])[0]![0];
}
