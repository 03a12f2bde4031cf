// The heat map: layers across, kinds of modules down, a number and a step of colour in each cell. One tab stop; arrows move,
// Home and End go to the row's ends, and what has the focus is what is chosen.
import { el, fill } from '../shared/dom';
import { decimal } from '../shared/format';
import { t } from '../shared/texts';
import { type Cell, cellKey, type Grid, gridOf, stepOf, thresholds } from './grid';
import type { AdapterModel, View } from './model';

export const units: Record<View, string> = { ratio: ' %', norm: '', effective: '' };

/** As many decimals as leave two or three digits of the largest value. */
export function decimalsFor(largest: number, view: View): number {
  if (view !== 'norm') return largest !== 0 && largest < 1 ? 2 : 1;
  return largest >= 100 ? 0 : largest >= 1 ? 1 : largest >= 0.1 || largest === 0 ? 2 : 3;
}

export class Heat {
  readonly element = el('div', { class: 'ad-scroll' });
  readonly note = el('div', { class: 'ad-note' });
  readonly #grid: Grid;
  readonly #cells = new Map<number, HTMLElement>();
  readonly #means = new Map<string, HTMLElement>();
  #chosen = -1;

  constructor(
    private readonly model: AdapterModel,
    private readonly onChoose: (module: number) => void,
  ) {
    this.#grid = gridOf(model.head.modules.map(({ path }) => path));
    this.#build();
  }

  get chosen(): number {
    return this.#chosen;
  }

  choose(module: number, focus = false): void {
    const before = this.#cells.get(this.#chosen);
    before?.setAttribute('aria-selected', 'false');
    before?.setAttribute('tabindex', '-1');
    this.#chosen = module;
    const cell = this.#cells.get(module);
    cell?.setAttribute('aria-selected', 'true');
    cell?.setAttribute('tabindex', '0');
    if (focus) cell?.focus();
  }

  /** Writes the numbers that are known into the cells. */
  update(view: View): void {
    const { model } = this;
    const all = [...this.#cells.keys()];
    const known = all
      .map((module) => model.value(module, view))
      .filter((v) => typeof v === 'number' && v > 0);
    const cuts = thresholds(known as number[]);
    const decimals = decimalsFor(Math.max(0, ...(known as number[])), view);
    // Below one the zero before the point is left out, for the cells are small.
    const shown = (value: number): string =>
      decimal(decimals > 1 ? value.toFixed(decimals).replace(/^0\./, '.') : value.toFixed(decimals));
    for (const [module, cell] of this.#cells) {
      const value = model.value(module, view);
      const { path } = model.head.modules[module]!;
      const text = value === undefined ? '' : value === null ? '✕' : value === 0 ? '0' : shown(value);
      const state =
        value === undefined
          ? 'waiting'
          : value === null
            ? 'bad'
            : value === 0
              ? 'zero'
              : `q${stepOf(value, cuts)}`;
      if (cell.textContent !== text) cell.textContent = text;
      if (cell.className !== state) cell.className = state;
      const said =
        value === undefined
          ? t('not known yet')
          : value === null
            ? t('no number')
            : value === 0
              ? t('0, never moved')
              : `${text}${units[view]}`;
      cell.setAttribute('aria-label', `${path}: ${said}`);
      cell.title = `${path}: ${said}`;
    }
    this.#updateMeans(view, shown);
    this.#updateNote(view, cuts, all, shown);
  }

  #build(): void {
    const { rows, layers, cells } = this.#grid;
    const head = el(
      'tr',
      { role: 'row' },
      el('th', { class: 'row quiet', scope: 'col' }, t('layer')),
      layers.map((layer) => el('th', { scope: 'col' }, layer)),
      el('th', { class: 'm', scope: 'col' }, t('mean')),
    );
    const body = rows.map((row, y) =>
      el(
        'tr',
        { role: 'row' },
        el('th', { class: 'row', scope: 'row', title: row }, row),
        layers.map((layer, x) => this.#cell(cells.get(cellKey(row, layer)), x, y)),
        this.#mean(`row ${row}`, 'm'),
      ),
    );
    const means = el(
      'tr',
      { class: 'means', role: 'row' },
      el('th', { class: 'row quiet', scope: 'row' }, t('mean')),
      layers.map((layer) => this.#mean(`layer ${layer}`, '')),
      this.#mean('all', 'm'),
    );
    const width = `${84 + 46 + layers.length * 26}px`;
    const others = this.#grid.others.map((cell, y) =>
      el(
        'tr',
        { role: 'row' },
        el('th', { class: 'row', scope: 'row', style: { width: '200px' }, title: cell.row }, cell.row),
        this.#cell(cell, 0, rows.length + y),
      ),
    );
    fill(
      this.element,
      rows.length === 0
        ? null
        : el(
            'table',
            {
              class: 'ad-heat',
              role: 'grid',
              'aria-label': t('Modules by layer'),
              style: { 'min-width': width },
            },
            el('thead', {}, head),
            el('tbody', {}, body, means),
          ),
      others.length === 0
        ? null
        : el(
            'table',
            {
              class: 'ad-heat ad-others',
              role: 'grid',
              'aria-label': t('Modules outside the layers'),
              style: { width: '290px' },
            },
            el('tbody', {}, others),
          ),
    );
    this.element.addEventListener('keydown', (event) => this.#key(event as KeyboardEvent));
  }

  #cell(cell: Cell | undefined, x: number, y: number): HTMLElement {
    if (cell === undefined) return el('td', { class: 'none' });
    const element = el('td', {
      role: 'gridcell',
      class: 'waiting',
      tabindex: '-1',
      'aria-selected': 'false',
      dataset: { module: String(cell.module), x: String(x), y: String(y) },
      on: {
        click: () => {
          this.choose(cell.module, true);
          this.onChoose(cell.module);
        },
      },
    });
    this.#cells.set(cell.module, element);
    return element;
  }

  #mean(key: string, className: string): HTMLElement {
    const element = el('td', { class: className });
    this.#means.set(key, element);
    return element;
  }

  #key(event: KeyboardEvent): void {
    const target = event.target as HTMLElement;
    if (target.dataset.module === undefined) return;
    const [x, y] = [Number(target.dataset.x), Number(target.dataset.y)];
    const step: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const at = (px: number, py: number) =>
      this.element.querySelector<HTMLElement>(`[data-x="${px}"][data-y="${py}"]`);
    let next: HTMLElement | null = null;
    const move = step[event.key];
    if (move !== undefined) {
      // Holes, as of modules that were left out, are stepped over.
      for (let n = 1; n < 400 && next === null; n++) next = at(x + n * move[0], y + n * move[1]);
    } else if (event.key === 'Home' || event.key === 'End') {
      const row = [...this.element.querySelectorAll<HTMLElement>(`[data-y="${y}"]`)];
      next = (event.key === 'Home' ? row[0] : row.at(-1)) ?? null;
    } else return;
    event.preventDefault();
    if (next === null) return;
    this.choose(Number(next.dataset.module), true);
    this.onChoose(this.#chosen);
  }

  #updateMeans(view: View, shown: (value: number) => string): void {
    const sums = new Map<string, [number, number]>();
    for (const cell of this.#grid.cells.values()) {
      const value = this.model.value(cell.module, view);
      if (typeof value !== 'number') continue;
      for (const key of [`row ${cell.row}`, `layer ${cell.layer}`, 'all']) {
        const [sum, count] = sums.get(key) ?? [0, 0];
        sums.set(key, [sum + value, count + 1]);
      }
    }
    for (const [key, element] of this.#means) {
      const found = sums.get(key);
      element.textContent = found === undefined ? '' : shown(found[0] / found[1]);
    }
  }

  #updateNote(
    view: View,
    cuts: readonly number[],
    all: readonly number[],
    shown: (value: number) => string,
  ): void {
    const values = all.flatMap((module) => {
      const value = this.model.value(module, view);
      return typeof value === 'number' ? [{ module, value }] : [];
    });
    if (values.length === 0) {
      fill(this.note, t('Reading…'));
      return;
    }
    const sorted = values.sort((a, b) => b.value - a.value);
    const say = ({ module, value }: { module: number; value: number }): string =>
      `${shortPath(this.model.head.modules[module]!.path)}, ${shown(value)}${units[view]}`;
    const unmoved = this.model.unmoved.length;
    fill(
      this.note,
      el(
        'span',
        {},
        unmoved === values.length
          ? t('No module moved.')
          : t('Most: {0}. Least: {1}.', say(sorted[0]!), say(sorted.at(-1)!)),
      ),
      cuts.length === 0
        ? null
        : el(
            'span',
            { class: 'ad-scale', 'aria-hidden': 'true' },
            el('span', {}, `< ${shown(cuts[0]!)}`),
            [0, 1, 2, 3, 4].map((q) => el('i', { class: `q${q}` })),
            el('span', {}, `≥ ${shown(cuts[3]!)}`),
          ),
    );
  }
}

/** `model.layers.13.mlp.down_proj` → `layer 13 down_proj`. */
export function shortPath(path: string): string {
  const match = /\.(\d+)\.(?:.*\.)?([^.]+)$/.exec(path);
  return match === null ? path : t('layer {0} {1}', match[1]!, match[2]!);
}
