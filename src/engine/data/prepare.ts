// In: dataset files, a tokenizer and options. Out: examples for training and evaluation, and a report of what happened to every row. All problems are raised at once.
import { setImmediate } from 'node:timers/promises';
import type { Problem } from '../../protocol/errors';
import { DataError, raiseProblems } from '../errors';
import type { DataReport, DatasetFile, EncodingOptions, Example, ReadingOptions } from './dataset';
import { defaults } from './dataset';
import type { EncodedSample } from './examples';
import { ExampleEncoder } from './examples';
import type { DatasetFormat } from './readers/open';
import { detectFormat, emptyFile, readers } from './readers/open';
import type { TextPiece } from './readers/row';
import { ReportBuilder } from './report';
import type { RowPlace } from './rowProblem';
import { describePlace, RowProblem, RowProblems } from './rowProblem';
import type { RowShape } from './shapes';
import { detectShape } from './shapes';
import { splitExamples } from './split';
import type { Tokenizer } from './tokenizer';
import { truncate, Windows } from './truncation';

export interface DataOptions extends EncodingOptions, ReadingOptions {
  tokenizer: Tokenizer;
  dataset: DatasetFile | string | readonly (DatasetFile | string)[];
  eval_dataset?: DataOptions['dataset'];
  /** A fraction or a count of the examples to evaluate on, instead of an eval_dataset. */
  val_size?: number;
  /** For the split. Default 42. */
  seed?: number;
  signal?: AbortSignal;
  /** Called now and then with the number of rows read so far. */
  onProgress?: (rows: number) => void;
}

export interface PreparedData {
  train: Example[];
  eval: Example[];
  /** With val_size, rows, truncation and notes count the whole dataset; examples and tokens this part alone. */
  report: DataReport;
  /** Null without an evaluation set. */
  evalReport: DataReport | null;
}

/** Rows between two looks at the signal and the event loop. */
const breathEvery = 2000;

/** Reads, checks and encodes everything that a run learns from. @throws DataError that lists every broken row */
export async function prepareData(options: DataOptions): Promise<PreparedData> {
  const maxLength = options.max_length ?? defaults.max_length;
  if (!Number.isInteger(maxLength) || maxLength < 2) {
    throw new DataError({
      code: 'dataset-bad-max-length',
      message: `max_length is ${maxLength}, expected a whole number of at least 2 tokens.`,
      remedy: 'Set max_length to the longest sequence to train on, for example 1024.',
    });
  }
  if (options.eval_dataset !== undefined && options.val_size) {
    throw new DataError({
      code: 'dataset-two-evals',
      message: 'Both eval_dataset and val_size are given.',
      remedy: 'Keep one of them.',
    });
  }
  const train = await encodeFiles(options, options.dataset, 'dataset');
  if (options.eval_dataset !== undefined) {
    const held = await encodeFiles(options, options.eval_dataset, 'eval_dataset');
    return {
      train: train.examples,
      eval: held.examples,
      report: train.report.build(train.examples),
      evalReport: held.report.build(held.examples),
    };
  }
  const parts = options.val_size
    ? splitExamples(train.examples, options.val_size, options.seed ?? 42)
    : { train: train.examples, eval: [] };
  return {
    ...parts,
    report: train.report.build(parts.train),
    evalReport: options.val_size ? train.report.build(parts.eval) : null,
  };
}

async function encodeFiles(options: DataOptions, dataset: DataOptions['dataset'], key: string) {
  const files = (Array.isArray(dataset) ? dataset : [dataset]).map(
    (file: DatasetFile | string): DatasetFile => (typeof file === 'string' ? { path: file } : file),
  );
  if (files.length === 0) {
    throw new DataError({
      code: 'dataset-empty',
      message: `${key} names no file.`,
      remedy: `Give at least one file as ${key}.`,
    });
  }
  const formats = await detectFormats(files);
  const encoder = new ExampleEncoder(options.tokenizer, options);
  const work: Work = {
    options,
    encoder,
    report: new ReportBuilder(encoder.notes),
    problems: new RowProblems(options.max_listed_problems ?? defaults.max_listed_problems),
    examples: [],
  };
  for (const [i, file] of files.entries()) await encodeFile(work, file, formats[i]!);
  work.problems.raise();
  if (work.examples.length === 0) throw nothingToTrain(key, work.report);
  return work;
}

interface Work {
  options: DataOptions;
  encoder: ExampleEncoder;
  report: ReportBuilder;
  problems: RowProblems;
  examples: Example[];
}

async function detectFormats(files: readonly DatasetFile[]): Promise<DatasetFormat[]> {
  const problems: Problem[] = [];
  const errors: DataError[] = [];
  const formats: DatasetFormat[] = [];
  for (const { path } of files) {
    try {
      formats.push(await detectFormat(path));
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      errors.push(error);
      problems.push({ where: path, message: error.message, remedy: error.remedy });
    }
  }
  if (errors.length === 1) throw errors[0];
  raiseProblems(
    DataError,
    'dataset-unreadable',
    `${problems.length} dataset files cannot be read:`,
    problems,
  );
  return formats;
}

async function encodeFile(work: Work, file: DatasetFile, format: DatasetFormat): Promise<void> {
  const { options, encoder, problems, report } = work;
  const textSplit = options.text_split ?? defaults.text_split;
  const rows = readers[format](file.path, {
    maxRowBytes: options.max_row_bytes ?? defaults.max_row_bytes,
    textSplit,
  });
  const maxLength = options.max_length ?? defaults.max_length;
  const asStream = format === 'text' && textSplit === 'window';
  const windows = new Windows(maxLength, encoder.prefix, options.tokenizer.eosId);
  let shape: RowShape | null = null;
  let seen = 0;
  for await (const { row, line, value, problem } of rows) {
    if (++seen % breathEvery === 0) {
      options.onProgress?.(report.rows);
      await setImmediate();
      options.signal?.throwIfAborted();
    }
    const place: RowPlace = { file: file.path, row, line };
    try {
      if (problem) throw problem;
      if (asStream) {
        const { text, last } = value as TextPiece;
        for (const sample of windows.push(encoder.encodePiece(text), last)) {
          keep(work, { ...place, row: report.rows + 1 }, sample);
        }
        continue;
      }
      shape ??= detectShape(file.path, value, file.columns);
      keep(work, place, encoder.encode(shape.toSample(value)));
    } catch (error) {
      if (error instanceof DataError && shape) {
        // A token that the tokenizer cannot write: the row's fault, not the file's.
        problems.add(place, new RowProblem(error.message, error.remedy, error.code));
      } else if (error instanceof RowProblem) problems.add(place, error);
      else throw error;
    }
  }
  if (seen === 0) throw emptyFile(file.path);
  if (asStream) report.addShape(file.path, 'text', {});
  else if (shape) report.addShape(file.path, shape.shape, shape.columns);
}

/** Truncates a sample and puts it among the examples, or notes why not. */
function keep(work: Work, place: RowPlace, sample: EncodedSample): void {
  const { options, report, encoder } = work;
  report.addRow(sample.ids.length);
  const hasBos = sample.ids[0] === options.tokenizer.bosId;
  const kept = truncate(
    sample,
    options.max_length ?? defaults.max_length,
    options.truncation ?? defaults.truncation,
    Math.max(hasBos ? 1 : 0, startsWith(sample.ids, encoder.prefix) ? encoder.prefix.length : 0),
  );
  if (!kept) {
    report.addTooLong(describePlace(place));
    return;
  }
  if (kept.cut > 0) report.addCut(kept.cut, kept.lostEnd);
  if (!kept.trained.includes(1)) {
    report.addUntrained(describePlace(place), kept.cut > 0 && sample.trained.includes(1));
    return;
  }
  work.examples.push({
    ids: kept.ids,
    trained: kept.trained,
    file: place.file,
    row: place.row,
    line: place.line,
    truncatedTokens: kept.cut,
  });
}

function startsWith(ids: readonly number[], prefix: readonly number[]): boolean {
  return prefix.every((id, i) => ids[i] === id);
}

function nothingToTrain(key: string, report: ReportBuilder): DataError {
  const { notes, maxLengthHelps } = report.whyNothing();
  return new DataError({
    code: 'dataset-no-trained-token',
    message: `No row of ${key} has a token to train on (${report.rows} rows read).${notes.map((note) => `\n  ${note}`).join('')}`,
    remedy: maxLengthHelps
      ? 'Raise max_length, or choose truncation: left, so that the answers stay.'
      : 'Check that the rows have answers in the columns that are trained on, or set train_on: all.',
  });
}
