// The legend of the loss chart: the run's own series and the runs that it is compared with, each a switch. It is drawn anew only
// when something of it changed, and asks for what was pressed.
import { el, fill, icon } from '../shared/dom';
import { t } from '../shared/texts';
import { looks } from './charts';
import type { RunHistory } from './history';

export interface LegendRequests {
  /** Shows or hides a series of the run itself. */
  toggle(series: string): void;
  /** Shows or hides a compared run. */
  toggleRun(id: string): void;
  remove(id: string): void;
  compare(): void;
}

function swatch(colour: string, dash: string, width: number): HTMLElement {
  return el('i', {
    class: 'lw-key',
    style: { 'border-color': colour, 'border-top-style': dash, 'border-top-width': `${width}px` },
  });
}

export class Legend {
  readonly element = el('span', { class: 'rn-legend', role: 'group', 'aria-label': t('Series') });
  #drawn = '';

  constructor(private readonly requests: LegendRequests) {}

  /** `off` are the run's own series that are hidden, `hidden` the ids of compared runs that are. */
  show(off: readonly string[], others: readonly RunHistory[], hidden: ReadonlySet<string>): void {
    const key = JSON.stringify([off, others.map(({ id, name }) => [id, name, hidden.has(id)])]);
    if (key === this.#drawn) return;
    this.#drawn = key;
    const at = (document.activeElement as HTMLElement | null)?.dataset?.series;
    const own = (series: string, name: string, colour: string, width: number): HTMLElement =>
      el(
        'button',
        {
          type: 'button',
          class: 'rn-series',
          'aria-pressed': String(!off.includes(series)),
          dataset: { series },
          on: { click: () => this.requests.toggle(series) },
        },
        swatch(colour, 'solid', width),
        name,
      );
    fill(
      this.element,
      own(
        'train',
        t('train'),
        'color-mix(in srgb, var(--vscode-charts-blue) 55%, var(--vscode-editor-background))',
        1,
      ),
      own('smoothed', t('smoothed'), 'var(--vscode-charts-blue)', 2),
      own('eval', t('eval'), 'var(--vscode-charts-yellow)', 2),
      others.length === 0 ? null : el('span', { class: 'sep' }),
      others.map((other, i) => this.#compared(other, i, hidden)),
      el(
        'button',
        { type: 'button', class: 'rn-series link', on: { click: () => this.requests.compare() } },
        icon('add'),
        t('Compare'),
      ),
    );
    if (at !== undefined)
      this.element.querySelector<HTMLElement>(`[data-series="${CSS.escape(at)}"]`)?.focus();
  }

  /** The colours have changed. */
  forget(): void {
    this.#drawn = '';
  }

  #compared({ id, name }: RunHistory, i: number, hidden: ReadonlySet<string>): HTMLElement {
    const look = looks[i % looks.length]!;
    const remove = (): void => this.requests.remove(id);
    return el(
      'span',
      { class: 'rn-other' },
      el(
        'button',
        {
          type: 'button',
          class: 'rn-series',
          'aria-pressed': String(!hidden.has(id)),
          title: t('Delete removes it'),
          dataset: { series: id },
          on: {
            click: () => this.requests.toggleRun(id),
            keydown: (event) => {
              if ((event as KeyboardEvent).key === 'Delete') remove();
            },
          },
        },
        swatch(`var(--vscode-${look.colour})`, look.css, 2),
        name,
      ),
      el(
        'button',
        { type: 'button', class: 'lw-ib', 'aria-label': t('Remove {0}', name), on: { click: remove } },
        icon('close'),
      ),
    );
  }
}
