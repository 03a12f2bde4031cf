// The types of prepared data: what a person chooses, what training reads, what the report says. Nothing but types and defaults.
import type { TextSplit } from './readers/row';
import type { ColumnMapping, DatasetShape } from './shapes';

/**
 * One training sequence. `trained[t]` is 1 where token t is a target, predicted from the tokens before it; the first
 * token is never one.
 */
export interface Example {
  ids: Int32Array;
  trained: Uint8Array;
  file: string;
  /** Number of the row in its file, from 1. */
  row: number;
  /** Line of the row, or null in formats without lines. */
  line: number | null;
  /** Tokens that truncation cut off. */
  truncatedTokens: number;
}

export interface DatasetFile {
  path: string;
  /** Our names to the file's, where detection fails: `{prompt: 'question', completion: 'answer'}`. */
  columns?: ColumnMapping;
}

/** `right` cuts the end, `left` the beginning (BOS stays), `drop` leaves the row out, `error` refuses the dataset. */
export type Truncation = 'right' | 'left' | 'drop' | 'error';

/**
 * What is learned. `completions`: completions, or the assistant's turns of a conversation. `assistant`: the same, under
 * the name that chat data knows it by. `all`: every token. Plain text is always learned whole.
 */
export type TrainOn = 'completions' | 'assistant' | 'all';

export interface EncodingOptions {
  /** Longest sequence, in tokens. Default 1024. */
  max_length?: number;
  /** Default `right`. */
  truncation?: Truncation;
  /** Default `completions`. */
  train_on?: TrainOn;
  /** Source of a chat template that replaces the tokenizer's. */
  chat_template?: string;
  /** Rows of the model's embedding table; a token id beyond it is an error. */
  model_vocab_size?: number;
}

export interface ReadingOptions {
  /** Default `window`. */
  text_split?: TextSplit;
  /** Most row problems listed in one error; the rest is counted. Default 20. */
  max_listed_problems?: number;
  /** Largest row, in bytes. Default 16 MB. */
  max_row_bytes?: number;
}

/** One bar of the histogram of lengths, before truncation: rows longer than the bar before and up to `upTo` tokens. */
export interface LengthBar {
  upTo: number;
  rows: number;
}

export interface DataReport {
  /** Rows read (windows, for text read as one stream). */
  rows: number;
  /** Rows that are trained on or evaluated. */
  examples: number;
  /** The shape of each file, in order. */
  shapes: { file: string; shape: DatasetShape; columns: ColumnMapping }[];
  /** Tokens of all examples, after truncation. */
  tokens: number;
  trainedTokens: number;
  truncatedRows: number;
  truncatedTokens: number;
  /** Truncated rows whose last trained token, as a rule EOS, was cut off. */
  rowsWithoutEnd: number;
  droppedRows: number;
  /** Longest row before truncation, in tokens. */
  longestTokens: number;
  lengthHistogram: LengthBar[];
  /** What a person should know: formats chosen for them, rows left out, each a full sentence. */
  notes: string[];
}

export const defaults = {
  max_length: 1024,
  truncation: 'right',
  train_on: 'completions',
  text_split: 'window',
  max_listed_problems: 20,
  max_row_bytes: 16 * 1024 * 1024,
} as const;
