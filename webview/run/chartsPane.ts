// The elements of the charts' pane: legend and tools, canvases, the table behind the loss chart, the rail. Made once; others fill
// them. It tells what was pressed.
import { action, el, icon } from '../shared/dom';
import { t } from '../shared/texts';

export interface ChartsPane {
  element: HTMLElement;
  canvases: Record<'loss' | 'rate' | 'norm' | 'speed', HTMLCanvasElement>;
  /** The newest values, in the headings of the small charts. */
  newest: Record<'rate' | 'norm' | 'speed', HTMLElement>;
  /** What stands in the place of a chart without points. */
  empty: HTMLElement;
  /** Folded out or not; `tablePlace` is what it holds. */
  table: HTMLElement;
  tablePlace: HTMLElement;
  logScale(): boolean;
}

const canvas = (label: string): HTMLCanvasElement =>
  el<HTMLCanvasElement>('canvas', { role: 'img', 'aria-label': label });

export function chartsPane(
  parts: { legend: HTMLElement; rail: readonly HTMLElement[]; log: boolean },
  does: { save(kind: 'png' | 'csv'): void; scale(log: boolean): void; table(): void },
): ChartsPane {
  const canvases = {
    loss: canvas(t('Loss by step')),
    rate: canvas(t('Learning rate by step')),
    norm: canvas(t('Gradient norm by step')),
    speed: canvas(t('Tokens per second by step')),
  };
  const newest = {
    rate: el('span', { class: 'num' }),
    norm: el('span', { class: 'num' }),
    speed: el('span', { class: 'num' }),
  };
  const logBox = el<HTMLElement & { checked: boolean }>(
    'vscode-checkbox',
    {
      'aria-label': t('Log scale'),
      checked: parts.log,
      on: { change: () => does.scale(logBox.checked) },
    },
    t('Log scale'),
  );
  const tablePlace = el('div', {
    class: 'rn-table',
    role: 'region',
    'aria-label': t('Steps'),
    tabindex: 0,
  });
  const table = el(
    'details',
    { on: { toggle: () => does.table() } },
    el('summary', {}, icon('chevron-right', 'tw'), t('Show as table')),
    tablePlace,
  );
  const empty = el('p', { class: 'muted rn-empty' });
  const small = (name: string, value: HTMLElement, chart: HTMLCanvasElement): HTMLElement =>
    el('div', {}, el('h3', {}, name, value), el('div', { class: 'lw-chart small' }, chart));
  const tools = el(
    'span',
    { class: 'end' },
    logBox,
    action('PNG', () => does.save('png'), {
      title: t('Save the chart as a picture'),
      'aria-label': t('Save the chart as PNG'),
    }),
    action('CSV', () => does.save('csv'), {
      title: t('Save the numbers as a table'),
      'aria-label': t('Save the numbers as CSV'),
    }),
  );
  const element = el(
    'div',
    { class: 'rn-body' },
    el(
      'div',
      {},
      el('div', { class: 'rn-tools' }, parts.legend, tools),
      el('div', { class: 'lw-chart rn-loss' }, canvases.loss, empty),
      el(
        'div',
        { class: 'rn-multi' },
        small(t('Learning rate'), newest.rate, canvases.rate),
        small(t('Gradient norm'), newest.norm, canvases.norm),
        small(t('Tokens/s'), newest.speed, canvases.speed),
      ),
      table,
    ),
    el('aside', { class: 'lw-rail flat', 'aria-label': t('Memory, modules and events') }, parts.rail),
  );
  return {
    element,
    canvases,
    newest,
    empty,
    table,
    tablePlace,
    logScale: () => logBox.checked === true,
  };
}
