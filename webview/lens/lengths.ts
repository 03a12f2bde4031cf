// The lengths of all rows as they are scanned: a histogram and its figures. Drawn anew only when something of it changed, so that
// a table that is open stays open.
import type { LensProgress, LensSettings } from '../../src/protocol/panels/lens';
import { type BarChart, barChart } from '../adapter/bars';
import { el, fill, quantity } from '../shared/dom';
import { count, fixed, integer } from '../shared/format';
import { t } from '../shared/texts';

export class Lengths {
  readonly element = el('section', { class: 'ln-hist' });
  #drawn = '';

  show(progress: LensProgress, { max_length: max, truncation }: LensSettings): void {
    const { histogram, scanned, done, longest, longer } = progress;
    const key = JSON.stringify([histogram, max, scanned, done, longer]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    const share = progress.tokens === 0 ? 0 : Math.round((100 * progress.trained) / progress.tokens);
    const longerShare = scanned === 0 ? '0' : fixed((100 * longer) / scanned, 1);
    const row = (label: string, value: string, unit: string): HTMLElement =>
      el('tr', {}, el('th', { scope: 'row' }, label), el('td', {}, quantity(value, unit)));
    fill(
      this.element,
      el(
        'h2',
        {},
        t('All rows'),
        ' ',
        el(
          'span',
          { class: 'aside', role: 'status' },
          done
            ? integer(scanned)
            : [
                el('vscode-progress-ring', { 'aria-label': t('Reading') }),
                t('{0} of {1}', integer(scanned), `${integer(progress.rows)}${progress.complete ? '' : '+'}`),
              ],
        ),
      ),
      barChart(chartOf(progress, max)),
      el(
        'table',
        { class: 'lw-rows', style: { 'margin-top': '6px' } },
        el(
          'tbody',
          {},
          row(
            t('Median, 95 %, longest'),
            [progress.median, progress.p95, longest].map(integer).join(', '),
            t('tokens'),
          ),
          row(t('Trained'), count(progress.trained), t('tokens, {0} %', share)),
          row(
            truncation === 'drop' ? t('Dropped') : t('Longer than {0}', integer(max)),
            integer(longer),
            t('rows, {0} %', longerShare),
          ),
        ),
      ),
    );
  }
}

function chartOf({ histogram, median, longest, longer }: LensProgress, max: number): BarChart {
  const { width } = histogram;
  const bars = histogram.rows.length;
  const every = Math.max(1, Math.ceil(bars / 5));
  const cut = max / width;
  return {
    label: t(
      'Rows by length: most have {0} tokens or fewer, the longest {1}; {2} are longer than {3}.',
      integer(median),
      integer(longest),
      integer(longer),
      integer(max),
    ),
    values: histogram.rows,
    names: histogram.rows.map((_, i) => (i % every === 0 ? integer(i * width) : '')),
    rows: histogram.rows.map((_, i) => `${integer(i * width + 1)}–${integer((i + 1) * width)}`),
    mark: (i) => (i * width >= max ? 'over' : ''),
    ...(cut < bars
      ? {
          cut: {
            at: cut,
            text: `max_length ${integer(max)}`,
            side: cut > bars / 2 ? ('left' as const) : ('right' as const),
          },
        }
      : {}),
    axis: t('tokens'),
    columns: [t('Tokens'), t('Rows')],
    format: (value) => (value >= 10_000 ? `${Math.round(value / 1000)}k` : integer(value)),
  };
}
