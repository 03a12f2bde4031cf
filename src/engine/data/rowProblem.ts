// In: what is wrong with single rows of a dataset. Out: one DataError that lists them. Knows nothing of what the rows mean.

import type { Problem } from '../../protocol/errors';
import { DataError } from '../errors';

/** Raised for one row; the caller adds the place and goes on to the next row. */
export class RowProblem extends Error {
  constructor(
    message: string,
    readonly remedy: string,
    /** A kebab-case kind; a list of one kind keeps it as its error code. */
    readonly code: string = 'dataset-broken-rows',
  ) {
    super(message);
    this.name = 'RowProblem';
  }
}

/** Where a row is: its number from 1 among the data rows, and its line from 1 where the file has lines. */
export interface RowPlace {
  file: string;
  row: number;
  line: number | null;
}

export function describePlace(place: RowPlace): string {
  return place.line === null
    ? `${place.file}, row ${place.row}`
    : `${place.file}:${place.line} (row ${place.row})`;
}

/** Gathers row problems: keeps the first `limit`, counts the rest. */
export class RowProblems {
  private readonly kept: Problem[] = [];
  private readonly codes = new Set<string>();
  count = 0;

  constructor(private readonly limit: number) {}

  add(place: RowPlace, problem: RowProblem): void {
    this.count++;
    this.codes.add(problem.code);
    if (this.kept.length < this.limit) {
      this.kept.push({ where: describePlace(place), message: problem.message, remedy: problem.remedy });
    }
  }

  /** Throws one DataError with everything gathered; returns when there is nothing. */
  raise(): void {
    if (this.count === 0) return;
    const more = this.count - this.kept.length;
    const [only] = this.codes;
    const rows = this.count === 1 ? '1 row cannot be used' : `${this.count} rows cannot be used`;
    throw new DataError({
      code: this.codes.size === 1 ? only! : 'dataset-broken-rows',
      message: [
        `${rows}:`,
        ...this.kept.map((problem) => `  ${problem.where}: ${problem.message}`),
        ...(more > 0 ? [`  … and ${more} more`] : []),
      ].join('\n'),
      remedy: this.kept[0]!.remedy!,
      problems: this.kept,
      facts: { rows: this.count },
    });
  }
}

/** The message of anything that was thrown. */
export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
