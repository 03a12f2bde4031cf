// In: a plain text file. Out: rows of {text}, or pieces of one stream, by the stated rule (see TextSplit).
import { readLines } from './lines';
import type { ReadOptions, SourceRow, TextPiece } from './row';

/** Pieces of a stream end at a line end once they have this many characters; tokens never span two pieces. */
const pieceLength = 64 * 1024;

export async function* readText(file: string, options: ReadOptions): AsyncGenerator<SourceRow> {
  if (options.textSplit === 'window') {
    yield* readPieces(file, options);
    return;
  }
  let row = 0;
  let block: string[] = [];
  let blockLine = 0;
  for await (const line of readLines(file, options.maxRowBytes)) {
    if (line.problem) yield { row: ++row, line: line.number, problem: line.problem };
    const blank = !line.text || line.text.trim() === '';
    if (!blank) {
      if (block.length === 0) blockLine = line.number;
      block.push(line.text!);
    }
    if (block.length > 0 && (blank || options.textSplit === 'line')) {
      yield { row: ++row, line: blockLine, value: { text: block.join('\n') } };
      block = [];
    }
  }
  if (block.length > 0) yield { row: ++row, line: blockLine, value: { text: block.join('\n') } };
}

async function* readPieces(file: string, options: ReadOptions): AsyncGenerator<SourceRow> {
  let row = 0;
  let lines: string[] = [];
  let length = 0;
  let firstLine = 1;
  const piece = (last: boolean): SourceRow => {
    const value: TextPiece = { text: lines.join('\n') + (last ? '' : '\n'), last };
    return { row: ++row, line: firstLine, value };
  };
  for await (const line of readLines(file, options.maxRowBytes)) {
    if (line.problem) {
      yield { row: row + 1, line: line.number, problem: line.problem };
      continue;
    }
    if (length >= pieceLength) {
      yield piece(false);
      lines = [];
      length = 0;
      firstLine = line.number;
    }
    lines.push(line.text!);
    length += line.text!.length + 1;
  }
  if (lines.some((line) => line.trim() !== '') || row > 0) yield piece(true);
}
