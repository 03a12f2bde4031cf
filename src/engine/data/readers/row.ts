// What every reader yields: rows, and problems of single rows, with their places. Knows nothing of columns.
import type { RowProblem } from '../rowProblem';

/** One row, or what is wrong with it. Rows count from 1; `line` is null in formats without lines. */
export interface SourceRow {
  row: number;
  line: number | null;
  /** The row's value; absent when `problem` is set. */
  value?: unknown;
  problem?: RowProblem;
}

export type RowReader = (file: string, options: ReadOptions) => AsyncGenerator<SourceRow>;

export interface ReadOptions {
  /** A row with more bytes than this is a problem; also bounds the memory that reading takes. */
  maxRowBytes: number;
  /** How plain text becomes rows. */
  textSplit: TextSplit;
}

/**
 * `window`: the whole file is one stream of tokens, cut into windows of max_length (nothing is lost).
 * `blank_line`: one row per block between blank lines. `line`: one row per line that is not blank.
 */
export type TextSplit = 'window' | 'blank_line' | 'line';

/** A piece of a plain text file that is read as one stream. */
export interface TextPiece {
  text: string;
  /** True for the file's last piece. */
  last: boolean;
}
