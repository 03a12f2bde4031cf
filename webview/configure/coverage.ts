// The map of target modules: layers across, kinds of module down, one cell a module. One tab stop; arrows move, Space puts
// a module in or takes it out, on a header all of its row or layer.
import type { Coverage } from '../../src/protocol/panels/configure';
import { el, fill, icon } from '../shared/dom';
import { fixed, integer } from '../shared/format';
import { plural, t } from '../shared/texts';

export type Toggle = (target: { row: string | null; layer: number | null; on: boolean }) => void;

/** Cells are buttons in a grid; `data-at` is "row,column" with -1 for headers. */
export class CoverageMap {
  readonly element = el('div', { class: 'cf-scroll' });
  #drawn = '';
  #at: [number, number] = [0, 0];
  #coverage: Coverage | undefined;

  constructor(private readonly toggle: Toggle) {
    this.element.addEventListener('keydown', (event) => this.#key(event));
    this.element.addEventListener('click', (event) =>
      this.#press((event.target as Element).closest('button')),
    );
  }

  show(coverage: Coverage): void {
    this.#coverage = coverage;
    const key = JSON.stringify(coverage);
    if (key === this.#drawn) return;
    this.#drawn = key;
    const focused = this.element.contains(document.activeElement);
    const { rows, layers, full, tied } = coverage;
    const ranks = new Set(rows.flatMap(({ ranks: list }) => list.filter((r) => r !== null && r > 0)));
    const various = ranks.size > 1;
    const columns = Array.from({ length: layers }, (_, layer) => layer);
    const step = layers > 40 ? 4 : layers > 24 ? 2 : 1;
    const button = (at: string, label: string, pressed: boolean, className: string, text = ''): HTMLElement =>
      el(
        'button',
        {
          type: 'button',
          class: className,
          'aria-label': label,
          'aria-pressed': String(pressed),
          tabindex: -1,
          disabled: full,
          dataset: { at },
        },
        text,
      );
    fill(
      this.element,
      el(
        'table',
        {
          class: `cf-map${layers > 32 ? ' dense' : ''}`,
          role: 'grid',
          'aria-label': t('Target modules by layer'),
        },
        el(
          'thead',
          {},
          el(
            'tr',
            {},
            el('th', { class: 'row quiet' }, t('layer')),
            columns.map((layer) => {
              const all = rows.every((row) => row.ranks[layer] === null || row.ranks[layer]! > 0);
              return el(
                'th',
                { scope: 'col' },
                button(
                  `-1,${layer}`,
                  t('All of layer {0}', layer),
                  all,
                  'plain',
                  layer % step === 0 ? String(layer) : ' ',
                ),
              );
            }),
            el('th', { class: 's', scope: 'col' }, t('in → out')),
            el('th', { class: 'n', scope: 'col' }, t('trainable')),
          ),
        ),
        el(
          'tbody',
          {},
          rows.map((row, i) => {
            const some = row.ranks.some((r) => r !== null && r > 0);
            const all = row.ranks.every((r) => r === null || r > 0);
            const own = [...new Set(row.ranks.filter((r): r is number => r !== null && r > 0))];
            return el(
              'tr',
              {},
              el(
                'th',
                { class: 'row', scope: 'row' },
                button(`${i},-1`, t('{0}, all layers', row.name), all, 'plain', row.name),
              ),
              columns.map((layer) => {
                const r = row.ranks[layer];
                if (r === null || r === undefined) return el('td', { class: 'no' });
                const place = t('{0}, layer {1}', row.name, layer);
                const label = r > 0 ? `${place}, r ${r}` : full ? `${place}, ${t('trains')}` : place;
                const cell = button(
                  `${i},${layer}`,
                  label,
                  r > 0 || full,
                  r > 0 || full ? 'on' : '',
                  various && r > 0 && layers <= 32 ? String(r) : '',
                );
                cell.title = label;
                return el('td', { class: 'c' }, cell);
              }),
              el('td', { class: 's num' }, `${row.inFeatures} → ${row.outFeatures}`),
              el('td', { class: 'n num' }, some && own.length > 0 ? integer(row.parameters) : '–'),
            );
          }),
          el(
            'tr',
            {},
            el('th', { class: 'row quiet', scope: 'row' }, t('embed, head')),
            el(
              'td',
              { class: full ? 'c' : 'no', colspan: layers },
              full ? el('span', { class: 'said' }, t('trains')) : null,
            ),
            el(
              'td',
              { class: 's' },
              [tied ? t('tied') : '', full ? t('train') : t('frozen')].filter(Boolean).join(', '),
            ),
            el('td', {}),
          ),
        ),
      ),
    );
    this.#point(focused);
  }

  /** Says what is covered, for the heading. */
  static summary({ adapted, adaptable, trainableParameters, totalParameters, full }: Coverage): string {
    const percent = fixed((100 * trainableParameters) / totalParameters, 2);
    const share = t('{0} trainable ({1} %)', integer(trainableParameters), percent);
    const covered = full
      ? t('every weight')
      : plural(adaptable, '{1} of 1 linear', '{1} of {0} linears', adapted);
    return `${covered}, ${share}`;
  }

  #button(row: number, column: number): HTMLElement | null {
    return this.element.querySelector(`[data-at="${row},${column}"]`);
  }

  #point(focus: boolean): void {
    for (const old of this.element.querySelectorAll('[tabindex="0"]')) old.setAttribute('tabindex', '-1');
    const now = this.#button(...this.#at) ?? this.#button(0, 0);
    now?.setAttribute('tabindex', '0');
    if (focus) now?.focus();
  }

  #press(button: HTMLElement | null): void {
    if (button === null || button.hasAttribute('disabled') || this.#coverage === undefined) return;
    const [row, column] = button.dataset.at!.split(',').map(Number) as [number, number];
    this.#at = [row, column];
    this.#point(true);
    this.toggle({
      row: row < 0 ? null : this.#coverage.rows[row]!.name,
      layer: column < 0 ? null : column,
      on: button.getAttribute('aria-pressed') !== 'true',
    });
  }

  #key(event: KeyboardEvent): void {
    const moves: Record<string, [number, number]> = {
      ArrowUp: [-1, 0],
      ArrowDown: [1, 0],
      ArrowLeft: [0, -1],
      ArrowRight: [0, 1],
    };
    let [row, column] = this.#at;
    const { rows = [], layers = 0 } = this.#coverage ?? {};
    if (event.key === 'Home') column = -1;
    else if (event.key === 'End') column = layers - 1;
    else if (moves[event.key] !== undefined) {
      const [down, right] = moves[event.key]!;
      row += down;
      column += right;
    } else return;
    event.preventDefault();
    row = Math.min(Math.max(row, -1), rows.length - 1);
    column = Math.min(Math.max(column, -1), layers - 1);
    if (row < 0 && column < 0) return;
    if (this.#button(row, column) === null) return;
    this.#at = [row, column];
    this.#point(true);
  }
}

/** The line that stands for a map where there is none. */
export function noMap(problem: string | null, hasModel: boolean): HTMLElement {
  return problem === null
    ? el(
        'p',
        { class: 'muted' },
        hasModel
          ? t('The modules are shown once the recipe is whole.')
          : t('Choose a model to see its modules.'),
      )
    : el('p', { class: 'lw-line' }, icon('error', 'err'), el('span', {}, problem));
}
