// Looks at a dataset without a tokenizer: its format and shape, its columns, and every row that could not be used.
import { stat } from 'node:fs/promises';
import type { Problem } from '../../protocol/errors';
import type { InspectResult } from '../../protocol/trainer';
import { dataDefaults, detectFormat, detectShape } from '../data';
import { readers } from '../data/readers/open';
import type { TextPiece } from '../data/readers/row';
import { describePlace, RowProblem } from '../data/rowProblem';
import type { RowShape, Sample } from '../data/shapes';
import { DataError } from '../errors';

const listed = 20;

/** A file that cannot be read at all raises its DataError. */
export async function inspectDataset(path: string): Promise<InspectResult> {
  const format = await detectFormat(path);
  const { size } = await stat(path);
  const problems: Problem[] = [];
  let found = 0;
  const report = (where: string, { message, remedy }: { message: string; remedy: string }): void => {
    found++;
    if (problems.length < listed) problems.push({ where, message, remedy });
  };
  const columns = new Set<string>();
  let shape: RowShape | undefined;
  let shapeKnown = true;
  let rows = 0;
  let usable = 0;
  let characters = 0;
  const options = { maxRowBytes: dataDefaults.max_row_bytes, textSplit: dataDefaults.text_split };
  for await (const { row, line, value, problem } of readers[format](path, options)) {
    rows++;
    const where = describePlace({ file: path, row, line });
    if (problem) {
      report(where, problem);
      continue;
    }
    if (format === 'text') {
      usable++;
      characters += (value as TextPiece).text.length;
      continue;
    }
    if (typeof value === 'object' && value !== null) for (const name of Object.keys(value)) columns.add(name);
    try {
      if (shapeKnown) shape ??= detectShape(path, value);
      if (!shape) continue;
      characters += lengthOf(shape.toSample(value));
      usable++;
    } catch (error) {
      if (error instanceof RowProblem) report(where, error);
      else if (error instanceof DataError) {
        shapeKnown = false;
        // The error names the file itself, which the list does too.
        report(path, { message: error.message.replace(`${path}: `, ''), remedy: error.remedy });
      } else throw error;
    }
  }
  if (found > problems.length)
    problems.push({ where: '…', message: `and ${found - problems.length} more problems` });
  const name = format === 'text' ? 'text' : (shape?.shape ?? 'unknown');
  return {
    kind: 'dataset',
    path,
    summary:
      format === 'text'
        ? `plain text, ${characters} characters`
        : `${format} dataset of shape ${name}, ${rows} rows, ${usable} usable`,
    facts: {
      format,
      shape: name,
      // Plain text is one stream; its pieces are no rows.
      rows: format === 'text' ? null : rows,
      usable_rows: format === 'text' ? null : usable,
      columns: [...columns].slice(0, 50).join(', ') || null,
      used_columns: shape
        ? Object.entries(shape.columns)
            .map(([ours, theirs]) => (ours === theirs ? ours : `${ours}: ${theirs}`))
            .join(', ')
        : null,
      characters,
      bytes: size,
    },
    problems,
  };
}

function lengthOf(sample: Sample): number {
  switch (sample.kind) {
    case 'text':
      return sample.text.length;
    case 'completion':
      return sample.prompt.length + sample.completion.length;
    case 'alpaca':
      return sample.instruction.length + sample.input.length + sample.output.length;
    case 'chat':
      return sample.messages.reduce((sum, message) => sum + message.content.length, 0);
  }
}
