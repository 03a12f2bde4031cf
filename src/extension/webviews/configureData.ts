// Prepared data → what a form says of a dataset: counts, lengths, and the problems that training would bring, each with the
// edits that end it. Pure.
import type { PreparedData } from '../../engine/data';
import type { DatasetFacts, Fix, FormProblem } from '../../protocol/panels/configure';
import type { Recipe } from '../../protocol/recipe';

/** The form's facts without what the settings add, and what its problems are made of. */
export interface DataAnswer extends Omit<DatasetFacts, 'steps' | 'stepsPerEpoch' | 'problems'> {
  truncatedRows: number;
  rowsWithoutEnd: number;
  droppedRows: number;
  notes: string[];
}

export function datasetFacts({ train, eval: held, report }: PreparedData): DataAnswer {
  const lengths = train.map(({ ids, truncatedTokens }) => ids.length + truncatedTokens).sort((a, b) => a - b);
  const [first] = report.shapes;
  const columns = Object.entries(first?.columns ?? {})
    .filter(([ours, theirs]) => ours !== theirs)
    .map(([ours, theirs]) => `${theirs} → ${ours}`);
  return {
    rows: report.rows,
    examples: train.length,
    evalExamples: held.length,
    tokens: report.tokens,
    trainedTokens: report.trainedTokens,
    medianTokens: lengths[Math.floor(lengths.length / 2)] ?? 0,
    longestTokens: report.longestTokens,
    shape: first?.shape ?? '',
    columns: columns.join(', '),
    truncatedRows: report.truncatedRows,
    rowsWithoutEnd: report.rowsWithoutEnd,
    droppedRows: report.droppedRows,
    notes: report.notes,
  };
}

/** What the form shows, for the recipe as it stands. */
export function describeData(data: DataAnswer, recipe: Recipe): DatasetFacts {
  const { truncatedRows, rowsWithoutEnd, longestTokens, ...facts } = data;
  const batch = recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps;
  const known = !recipe.packing && data.examples > 0;
  const stepsPerEpoch = known ? Math.ceil(data.examples / batch) : null;
  const steps =
    recipe.max_steps > 0
      ? recipe.max_steps
      : stepsPerEpoch === null
        ? null
        : Math.ceil(stepsPerEpoch * recipe.num_train_epochs);
  const problems: FormProblem[] = [];
  const dataset = recipe.dataset[0]?.path;
  if (truncatedRows > 0) {
    const one = truncatedRows === 1;
    const loss =
      rowsWithoutEnd > 0 ? `: ${one ? 'its answer loses' : 'their answers lose'} the end and EOS.` : '.';
    const fixes: Fix[] = [
      { label: one ? 'Drop it' : 'Drop them', edits: [{ key: 'truncation', value: 'drop' }] },
    ];
    const longer = Math.ceil(longestTokens / 64) * 64;
    fixes.push({ label: `Raise to ${longer}`, edits: [{ key: 'max_length', value: longer }] });
    problems.push({
      severity: 'warning',
      key: 'max_length',
      line: null,
      message: `${truncatedRows.toLocaleString('en-US')} ${one ? 'row is' : 'rows are'} longer than \`max_length\` ${recipe.max_length}${loss}`,
      remedy: null,
      fixes,
      dataset,
    });
  }
  for (const note of data.notes)
    problems.push({ severity: 'info', key: 'dataset', line: null, message: note, remedy: null, fixes: [] });
  return { ...facts, longestTokens, steps, stepsPerEpoch, problems };
}
