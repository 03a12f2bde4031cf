// In: what happened to each row. Out: the report of a dataset, with histogram and notes. Knows nothing of tokens' meaning.
import type { DataReport, Example } from './dataset';
import type { ColumnMapping, DatasetShape } from './shapes';

const listedPlaces = 10;
const smallestBar = 32;

export class ReportBuilder {
  rows = 0;
  private readonly shapes: DataReport['shapes'] = [];
  private readonly bars: number[] = [];
  private truncatedRows = 0;
  private truncatedTokens = 0;
  private rowsWithoutEnd = 0;
  private longestTokens = 0;
  private readonly tooLong = new Places();
  private readonly untrained = new Places();
  private readonly cutAway = new Places();

  constructor(private readonly notes: ReadonlySet<string>) {}

  addShape(file: string, shape: DatasetShape, columns: ColumnMapping): void {
    this.shapes.push({ file, shape, columns });
  }

  /** A row with its length before truncation. */
  addRow(tokens: number): void {
    this.rows++;
    this.longestTokens = Math.max(this.longestTokens, tokens);
    const bar = Math.max(0, Math.ceil(Math.log2(Math.max(1, tokens) / smallestBar)));
    this.bars[bar] = (this.bars[bar] ?? 0) + 1;
  }

  addCut(tokens: number, lostEnd: boolean): void {
    this.truncatedRows++;
    this.truncatedTokens += tokens;
    if (lostEnd) this.rowsWithoutEnd++;
  }

  addTooLong(place: string): void {
    this.tooLong.add(place);
  }

  /** A row that is left out for want of a trained token; `cut` when truncation took them all. */
  addUntrained(place: string, cut: boolean): void {
    (cut ? this.cutAway : this.untrained).add(place);
  }

  /** The reasons why no row is left. */
  whyNothing(): { notes: string[]; maxLengthHelps: boolean } {
    return {
      notes: this.droppedNotes(),
      maxLengthHelps: this.cutAway.count + this.tooLong.count > this.untrained.count,
    };
  }

  /** The report on a list of examples that came of these rows. */
  build(examples: readonly Example[]): DataReport {
    let tokens = 0;
    let trainedTokens = 0;
    for (const { ids, trained } of examples) {
      tokens += ids.length;
      for (const flag of trained) trainedTokens += flag;
    }
    return {
      rows: this.rows,
      examples: examples.length,
      shapes: this.shapes,
      tokens,
      trainedTokens,
      truncatedRows: this.truncatedRows,
      truncatedTokens: this.truncatedTokens,
      rowsWithoutEnd: this.rowsWithoutEnd,
      droppedRows: this.tooLong.count + this.untrained.count + this.cutAway.count,
      longestTokens: this.longestTokens,
      lengthHistogram: Array.from(this.bars, (rows, i) => ({ upTo: smallestBar * 2 ** i, rows: rows ?? 0 })),
      notes: [...this.notes, ...this.cutNotes(), ...this.droppedNotes()],
    };
  }

  private cutNotes(): string[] {
    if (this.truncatedRows === 0) return [];
    const end =
      this.rowsWithoutEnd > 0
        ? `; ${count(this.rowsWithoutEnd)} lost the end of the answer, so the model does not learn to stop there`
        : '';
    return [`Truncation cut ${this.truncatedTokens} tokens from ${count(this.truncatedRows)}${end}.`];
  }

  private droppedNotes(): string[] {
    return [
      this.tooLong.sentence('longer than max_length and dropped'),
      this.untrained.sentence('without a token to train on and dropped'),
      this.cutAway.sentence('left without a token to train on by truncation, and dropped'),
    ].filter((sentence) => sentence !== '');
  }
}

/** Counts places and remembers the first few. */
class Places {
  count = 0;
  private readonly first: string[] = [];

  add(place: string): void {
    this.count++;
    if (this.first.length < listedPlaces) this.first.push(place);
  }

  sentence(what: string): string {
    if (this.count === 0) return '';
    const more = this.count > this.first.length ? `, and ${this.count - this.first.length} more` : '';
    return `${count(this.count)} ${this.count === 1 ? 'is' : 'are'} ${what}: ${this.first.join(', ')}${more}.`;
  }
}

function count(rows: number): string {
  return rows === 1 ? '1 row' : `${rows} rows`;
}
