// In: a JSON file, a list of rows or an object that holds one. Out: the rows, each with the line where it begins. One broken row does not hide the others.
import { stat } from 'node:fs/promises';
import { DataError } from '../../errors';
import { RowProblem } from '../rowProblem';
import { parseRow } from './jsonl';
import { notUtf8, readChunks, refuseOtherEncodings } from './lines';
import type { ReadOptions, SourceRow } from './row';

/** A JSON list is held in memory as text; a JavaScript string ends at 512 MB. */
const maxJsonBytes = 400 * 1024 * 1024;

export async function* readJson(file: string, options: ReadOptions): AsyncGenerator<SourceRow> {
  const text = await readText(file);
  const start = /\S/.exec(text)?.index ?? text.length;
  if (text[start] === '{') {
    yield* rowsOfObject(file, text);
    return;
  }
  if (text[start] !== '[') {
    if (start === text.length) return;
    throw brokenJson(
      file,
      `it begins with ${JSON.stringify(text.slice(start, start + 20))}, expected a list of rows`,
    );
  }
  let row = 0;
  for (const element of splitList(text, start)) {
    row++;
    if (element.unfinished) {
      const problem = new RowProblem(
        'the file ends in the middle of this row or list.',
        'Write the file again, whole; it was cut off.',
      );
      yield { row, line: element.line, problem };
    } else if (element.text.length > options.maxRowBytes) {
      const problem = new RowProblem(`the row has more than ${options.maxRowBytes} bytes.`, 'Split the row.');
      yield { row, line: element.line, problem };
    } else yield { row, line: element.line, ...parseRow(element.text) };
  }
}

async function readText(file: string): Promise<string> {
  const { size } = await stat(file);
  if (size > maxJsonBytes) {
    throw new DataError({
      code: 'dataset-too-large',
      message: `${file} has ${size} bytes; a JSON list is read up to ${maxJsonBytes} bytes.`,
      remedy: 'Convert the file to JSON Lines or Parquet, which are read row by row.',
    });
  }
  const chunks: Buffer[] = [];
  for await (const chunk of readChunks(file)) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  refuseOtherEncodings(file, bytes);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    const problem = notUtf8();
    throw new DataError({
      code: problem.code,
      message: `${file}: ${problem.message}`,
      remedy: problem.remedy,
    });
  }
}

/** `{"data": [rows]}` and the like: the one property that is a list. An object that is a row itself is one row. */
function* rowsOfObject(file: string, text: string): Generator<SourceRow> {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw brokenJson(file, `it is not whole JSON (${(error as Error).message})`);
  }
  const lists = Object.entries(value).filter(([, list]) => Array.isArray(list));
  const key = lists[0]?.[0];
  if (lists.length === 0 || key === 'messages' || key === 'conversations' || 'prompt' in value) {
    yield { row: 1, line: 1, value };
    return;
  }
  if (lists.length > 1) {
    throw brokenJson(
      file,
      `it is one object with ${lists.length} lists (${Object.keys(value).slice(0, 8).join(', ')}), expected a list of rows`,
    );
  }
  let row = 0;
  for (const item of lists[0]![1] as unknown[]) yield { row: ++row, line: null, value: item };
}

interface Element {
  text: string;
  line: number;
  unfinished: boolean;
}

/** Cuts a list into the texts of its elements by brackets and strings alone, so that each is parsed by itself. */
function* splitList(text: string, open: number): Generator<Element> {
  const structure = /["\\{}[\],\n]/g;
  structure.lastIndex = open + 1;
  let line = 1 + count(text.slice(0, open), '\n');
  let depth = 0;
  let inString = false;
  let start = open + 1;
  let startLine = line;
  const element = (end: number, unfinished = false): Element => {
    const whole = text.slice(start, end);
    const lead = /^\s*/.exec(whole)![0];
    return { text: whole, line: startLine + count(lead, '\n'), unfinished };
  };
  for (let found = structure.exec(text); found; found = structure.exec(text)) {
    const at = found.index;
    const sign = found[0];
    if (sign === '\n') line++;
    else if (inString) {
      if (sign === '\\') structure.lastIndex = at + 2;
      else if (sign === '"') inString = false;
    } else if (sign === '"') inString = true;
    else if (sign === '{' || sign === '[') depth++;
    else if (sign === '}' || (sign === ']' && depth > 0)) depth = Math.max(0, depth - 1);
    else if (sign === ']' || (sign === ',' && depth === 0)) {
      const next = element(at);
      if (sign === ',' || next.text.trim() !== '') yield next;
      if (sign === ']') return;
      start = at + 1;
      startLine = line;
    }
  }
  yield element(text.length, true);
}

function count(text: string, letter: string): number {
  return text.split(letter).length - 1;
}

function brokenJson(file: string, what: string): DataError {
  return new DataError({
    code: 'dataset-broken-json',
    message: `${file}: ${what}.`,
    remedy: 'Give a JSON list of objects, one per row, or a JSON Lines file.',
  });
}
