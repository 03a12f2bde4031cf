// In: a JSON Lines file. Out: one row per line that is not blank, with the line's number.
import { RowProblem, reason } from '../rowProblem';
import { readLines } from './lines';
import type { ReadOptions, SourceRow } from './row';

export async function* readJsonl(file: string, options: ReadOptions): AsyncGenerator<SourceRow> {
  let row = 0;
  for await (const line of readLines(file, options.maxRowBytes)) {
    if (line.problem) {
      yield { row: ++row, line: line.number, problem: line.problem };
    } else if (line.text!.trim() !== '') {
      yield { row: ++row, line: line.number, ...parseRow(line.text!) };
    }
  }
}

/** A row's value, or the problem with its JSON. */
export function parseRow(text: string): Pick<SourceRow, 'value' | 'problem'> {
  try {
    return { value: JSON.parse(text) };
  } catch (error) {
    const start = text.trim().slice(0, 40);
    return {
      problem: new RowProblem(
        `this is not JSON (${reason(error).replace(/, ?".*/s, '')}): ${JSON.stringify(start)}${text.length > 40 ? '…' : ''}`,
        'Mend the JSON of the listed rows; in JSON Lines each line is one whole object.',
      ),
    };
  }
}
