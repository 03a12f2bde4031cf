// The list of tensors with a filter. Only the rows in sight are elements, however many there are.
import { el, fill, icon, prose } from '../shared/dom';
import { decimal, fixed, integer } from '../shared/format';
import { plural, t } from '../shared/texts';
import type { AdapterModel } from './model';

const rowHeight = 22;
/** Rows above and below the visible ones. */
const spare = 12;
const columns = [t('Name'), t('Shape'), t('Type'), t('Norm'), t('Mean |w|'), t('Max |w|')];

export class TensorTable {
  readonly element: HTMLElement;
  readonly #rows = el('div', { class: 'ad-rows', role: 'rowgroup' });
  readonly #list: HTMLElement;
  readonly #grid: HTMLElement;
  readonly #aside = el('span', { class: 'aside', role: 'status' });
  readonly #field: HTMLElement & { value: string };
  readonly #prefix: string;
  #matches: number[] = [];
  #pending = false;

  constructor(private readonly model: AdapterModel) {
    const names = model.head.tensors.map(({ name }) => name);
    this.#prefix = commonPrefix(names);
    this.#field = el('vscode-text-field', {
      placeholder: t('Filter'),
      'aria-label': t('Filter tensors by name, shape or type'),
      on: { input: () => this.#filter() },
    }) as HTMLElement & { value: string };
    const mark = icon('filter');
    mark.setAttribute('slot', 'start');
    this.#field.append(mark);
    const head = el(
      'div',
      { role: 'rowgroup' },
      el(
        'div',
        { class: 'ad-row head', role: 'row' },
        columns.map((name) => el('div', { role: 'columnheader' }, name)),
      ),
    );
    this.#grid = el('div', { class: 'ad-grid', role: 'table', 'aria-label': t('Tensors') }, head, this.#rows);
    this.#list = el(
      'div',
      {
        class: 'ad-list',
        tabindex: '0',
        role: 'region',
        'aria-label': t('Tensors'),
        on: { scroll: () => this.refresh() },
      },
      this.#grid,
    );
    this.element = el(
      'section',
      { class: 'ad-tensors' },
      el('div', { class: 'bar' }, el('h2', {}, t('Tensors'), ' ', this.#aside), this.#field),
      this.#list,
    );
    this.#filter();
    new ResizeObserver(() => this.refresh()).observe(this.#list);
  }

  /** Shows the tensors of a module. */
  show(text: string): void {
    this.#field.value = text;
    this.#filter();
  }

  /** Draws the rows in sight anew, once a frame. */
  refresh(): void {
    if (this.#pending) return;
    this.#pending = true;
    requestAnimationFrame(() => {
      this.#pending = false;
      this.#draw();
    });
  }

  #filter(): void {
    const words = this.#field.value.toLowerCase().split(/\s+/).filter(Boolean);
    const { tensors } = this.model.head;
    this.#matches = tensors.flatMap(({ name, dtype, shape }, index) => {
      const text = `${name} ${dtype} ${shape.join('×')}`.toLowerCase();
      return words.every((word) => text.includes(word)) ? [index] : [];
    });
    const all = this.#matches.length === tensors.length;
    fill(
      this.#aside,
      all ? integer(tensors.length) : t('{0} of {1}', integer(this.#matches.length), integer(tensors.length)),
      this.#prefix === '' ? null : [', ', prose(t('names start with `{0}`', this.#prefix))],
    );
    this.#grid.setAttribute('aria-rowcount', String(this.#matches.length + 1));
    this.#rows.style.height = `${this.#matches.length * rowHeight}px`;
    this.#list.scrollTop = 0;
    this.refresh();
  }

  #draw(): void {
    const { scrollTop, clientHeight } = this.#list;
    const first = Math.max(0, Math.floor(scrollTop / rowHeight) - spare);
    const last = Math.min(this.#matches.length, Math.ceil((scrollTop + clientHeight) / rowHeight) + spare);
    fill(
      this.#rows,
      this.#matches.length === 0
        ? el(
            'div',
            { class: 'ad-row', role: 'row' },
            el('div', { role: 'cell', class: 'muted' }, t('No tensor has this in its name.')),
          )
        : this.#matches.slice(first, last).map((index, i) => this.#row(index, first + i)),
    );
  }

  #row(index: number, place: number): HTMLElement {
    const { name, dtype, shape } = this.model.head.tensors[index]!;
    const values = this.model.tensors.get(index);
    const own = name.slice(this.#prefix.length);
    // What tells a module's tensors apart stands out; the ending that most share may be cut off.
    const [, before = own, bold = '', after = ''] =
      /^(.*?)(lora_\w+|[^.]+(?=\.(?:weight|bias)$))(\.\w+)?$/.exec(own) ?? [];
    const number = (value: number | null | undefined, digits: (v: number) => string): string =>
      value === undefined ? '' : value === null ? '–' : digits(value);
    const broken = (values?.notFinite ?? 0) > 0;
    return el(
      'div',
      {
        class: 'ad-row',
        role: 'row',
        'aria-rowindex': String(place + 2),
        style: { top: `${place * rowHeight}px` },
      },
      el('div', { class: 'mono', role: 'cell', title: name }, before, el('b', {}, bold), after),
      el('div', { class: 'mono', role: 'cell' }, shape.length === 0 ? t('scalar') : shape.join(' × ')),
      el('div', { role: 'cell' }, dtype),
      broken
        ? el(
            'div',
            {
              class: 'err',
              role: 'cell',
              title: plural(values!.notFinite, '1 value not finite', '{0} values not finite'),
            },
            t('not finite'),
          )
        : el(
            'div',
            { role: 'cell' },
            number(values?.norm, (v) => (v >= 1e4 ? decimal(v.toExponential(2)) : fixed(v, 3))),
          ),
      el(
        'div',
        { role: 'cell' },
        number(values?.mean, (v) => decimal(v.toExponential(1))),
      ),
      el(
        'div',
        { role: 'cell' },
        number(values?.largest, (v) => decimal(v.toExponential(1))),
      ),
    );
  }
}

/** What all names begin with, up to a dot; only worth leaving out where it is long. */
function commonPrefix(names: readonly string[]): string {
  let prefix = names[0] ?? '';
  for (const name of names) {
    while (!name.startsWith(prefix)) prefix = prefix.slice(0, -1);
    if (prefix === '') return '';
  }
  const cut = /^base_model\.model\./.exec(prefix)?.[0] ?? prefix.slice(0, prefix.lastIndexOf('.') + 1);
  return names.length > 1 && cut.length > 5 ? cut : '';
}
