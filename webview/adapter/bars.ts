// A small bar chart of plain elements: it scales with its place and takes the theme's colours by itself. Values in, one
// element out; the numbers stand beside it as a table for those who want it.
import { action, el } from '../shared/dom';
import { integer } from '../shared/format';
import { t } from '../shared/texts';

export interface BarChart {
  /** One sentence that says what is to be seen. */
  label: string;
  values: readonly number[];
  /** What stands under a bar; '' for nothing. */
  names: readonly string[];
  /** Class of a bar by its index: `dim`, `over`. */
  mark?: (index: number) => string;
  /** A line before bar `at`, with words beside it. */
  cut?: { at: number; text: string; side: 'left' | 'right' };
  axis: string;
  format: (value: number) => string;
  columns: readonly [string, string];
  /** Full names for the table. */
  rows?: readonly string[];
}

/** A round number of at most three steps above the largest value. */
export function scaleOf(largest: number): { top: number; step: number } {
  if (!(largest > 0)) return { top: 1, step: 0.5 };
  const rough = largest / 3;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= rough)!;
  return { top: step * Math.ceil(largest / step - 1e-9), step };
}

export function barChart(chart: BarChart): HTMLElement {
  const { top, step } = scaleOf(Math.max(0, ...chart.values));
  const ticks: HTMLElement[] = [];
  for (let value = 0; value <= top * 1.0001; value += step) {
    const bottom = `${(100 * value) / top}%`;
    ticks.push(el('div', { class: 'bc-tick', style: { bottom } }, el('span', {}, chart.format(value))));
  }
  const bars = chart.values.map((value, i) =>
    el('i', {
      class: `bc-bar ${chart.mark?.(i) ?? ''}`.trim(),
      style: { height: value > 0 ? `max(1px, ${(100 * value) / top}%)` : '0' },
      title: `${chart.rows?.[i] ?? chart.names[i]}: ${chart.format(value)}`,
    }),
  );
  const { cut } = chart;
  const line =
    cut === undefined || chart.values.length === 0
      ? null
      : el(
          'div',
          { class: `bc-cut ${cut.side}`, style: { left: `${(100 * cut.at) / chart.values.length}%` } },
          el('span', {}, cut.text),
        );
  const figure = el(
    'div',
    { class: 'bc', role: 'img', 'aria-label': chart.label },
    el('div', { class: 'bc-plot' }, ticks, el('div', { class: 'bc-bars' }, bars), line),
    el(
      'div',
      { class: 'bc-names' },
      chart.names.map((name) => el('span', {}, name)),
    ),
    el('div', { class: 'bc-axis' }, chart.axis),
  );
  const table = el(
    'table',
    { class: 'lw-table bc-table', hidden: true },
    el('thead', {}, el('tr', {}, el('th', {}, chart.columns[0]), el('th', { class: 'n' }, chart.columns[1]))),
    el(
      'tbody',
      {},
      chart.values.map((value, i) =>
        el(
          'tr',
          {},
          el('td', {}, chart.rows?.[i] ?? chart.names[i] ?? integer(i + 1)),
          el('td', { class: 'n' }, chart.format(value)),
        ),
      ),
    ),
  );
  const toggle = action(
    t('Show as table'),
    () => {
      table.hidden = !table.hidden;
      toggle.textContent = table.hidden ? t('Show as table') : t('Hide table');
      toggle.setAttribute('aria-expanded', String(!table.hidden));
    },
    { class: 'plain link small bc-toggle', 'aria-expanded': 'false' },
  );
  return el('div', {}, figure, toggle, table);
}
