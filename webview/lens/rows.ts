// The list of rows: a stretch of the dataset around the one looked at, longer as one scrolls. Tokens are one tab stop a
// segment, arrows walk in them; what a token is stands beside it on hover and focus.
import type { LensRow, LensSegment, LensSettings } from '../../src/protocol/panels/lens';
import { action, el, fill, icon } from '../shared/dom';
import { integer } from '../shared/format';
import { t } from '../shared/texts';
import { kinds, kindText, segmentKind, token, tokenAt, tokensText, verticalNeighbour } from './tokens';

const page = 6;
/** Rows that stay in the page; farther ones are asked for again. */
const kept = 60;

export interface RowsHost {
  load(from: number, count: number): Promise<readonly LensRow[]>;
  openRow(line: number | null): void;
  /** The row at the top of the window. */
  onCurrent(row: LensRow): void;
  settings(): LensSettings;
}

interface Shown {
  row: LensRow;
  element: HTMLElement;
}

export class Rows {
  readonly element = el('div', { class: 'ln-main' });
  readonly #list = el('div', {});
  readonly #above = el('div', { style: { height: '1px' } });
  readonly #below = el('div', { style: { height: '1px' } });
  #shown: Shown[] = [];
  #total = 0;
  #turn = 0;
  #loading = false;
  #hover: HTMLElement | undefined;
  #marked: HTMLElement | undefined;
  #current = -1;
  readonly #open = new Set<string>();

  constructor(private readonly host: RowsHost) {
    fill(this.element, this.#above, this.#list, this.#below);
    const seen = new IntersectionObserver(
      (entries) => {
        for (const { isIntersecting, target } of entries)
          if (isIntersecting) void this.#more(target === this.#above);
      },
      { rootMargin: '400px' },
    );
    seen.observe(this.#above);
    seen.observe(this.#below);
    addEventListener('scroll', () => this.#tellCurrent(), { passive: true });
    this.element.addEventListener('mouseover', (event) => this.#over(event.target));
    this.element.addEventListener('mouseleave', () => this.#hide());
    this.element.addEventListener('focusin', (event) => this.#over(event.target));
    this.element.addEventListener('focusout', () => this.#hide());
    this.element.addEventListener('keydown', (event) => this.#key(event));
  }

  set total(total: number) {
    const before = this.#total;
    this.#total = total;
    if (this.#shown.length < page && total > before) void this.#more(false);
  }

  /** Shows a row at the top. */
  async go(index: number): Promise<void> {
    const known = this.#shown.find(({ row }) => row.index === index);
    if (known === undefined) await this.#replace(index);
    const target = this.#shown.find(({ row }) => row.index === index);
    target?.element.scrollIntoView({ block: 'start' });
    if (target !== undefined) {
      this.#current = index;
      this.host.onCurrent(target.row);
    }
  }

  /** Asks for the rows in sight again. */
  async refresh(): Promise<void> {
    const top = scrollY;
    await this.#replace(
      this.#shown[0]?.row.index ?? Math.max(0, this.#current),
      Math.max(page, this.#shown.length),
    );
    scrollTo(0, top);
    this.#current = -1;
    this.#tellCurrent();
  }

  async #replace(from: number, count = page): Promise<void> {
    const turn = ++this.#turn;
    const rows = await this.host.load(from, Math.min(count, kept));
    if (turn !== this.#turn) return;
    this.#hide();
    this.#shown = rows.map((row) => ({ row, element: this.#draw(row) }));
    fill(
      this.#list,
      this.#shown.map(({ element }) => element),
    );
    this.#tellCurrent();
  }

  async #more(above: boolean): Promise<void> {
    if (this.#loading) return;
    const first = this.#shown[0]?.row.index ?? 0;
    const last = this.#shown.at(-1)?.row.index ?? -1;
    const from = above ? Math.max(0, first - page) : last + 1;
    const count = above ? first - from : Math.min(page, this.#total - from);
    if (count <= 0) return;
    this.#loading = true;
    const turn = this.#turn;
    try {
      const rows = await this.host.load(from, count);
      if (turn !== this.#turn) return;
      const fresh = rows.map((row) => ({ row, element: this.#draw(row) }));
      const elements = fresh.map(({ element }) => element);
      if (above) {
        this.#list.prepend(...elements);
        this.#shown = [...fresh, ...this.#shown];
        for (const { element } of this.#shown.splice(kept)) element.remove();
      } else {
        this.#list.append(...elements);
        this.#shown.push(...fresh);
        for (const { element } of this.#shown.splice(0, Math.max(0, this.#shown.length - kept)))
          element.remove();
      }
      if (this.#current < 0) this.#tellCurrent();
    } finally {
      this.#loading = false;
    }
    // The end of a short stretch may still be in sight.
    const room = this.#below.getBoundingClientRect().top < innerHeight + 400;
    if (!above && room && turn === this.#turn) void this.#more(false);
  }

  #tellCurrent(): void {
    const bar = document.querySelector('.ln-bar')?.getBoundingClientRect().bottom ?? 0;
    const top = this.#shown.find(({ element }) => element.getBoundingClientRect().bottom > bar + 24);
    if (top === undefined || top.row.index === this.#current) return;
    this.#current = top.row.index;
    this.host.onCurrent(top.row);
  }

  #draw(row: LensRow): HTMLElement {
    const name = t('Row {0}', integer(row.index + 1));
    const aside = [tokensText(row.tokens), row.cut > 0 ? t('{0} cut', integer(row.cut)) : '']
      .filter(Boolean)
      .join(', ');
    return el(
      'section',
      { class: 'ln-row', dataset: { row: String(row.index) }, 'aria-label': name },
      el(
        'h2',
        {},
        `${name} `,
        row.tokens > 0 ? el('span', { class: 'aside' }, aside) : null,
        row.problems.length === 0
          ? null
          : el('span', { class: row.error === null ? 'wrong warn' : 'wrong err' }, row.problems.join(', ')),
        row.line === null
          ? null
          : el(
              'span',
              { class: 'end' },
              action(t('Line {0}', integer(row.line)), () => this.host.openRow(row.line), {
                class: 'plain link small',
                'aria-label': t('Open line {0} as text', row.line),
              }),
            ),
      ),
      row.error === null
        ? null
        : el(
            'p',
            { class: 'lw-line', style: { padding: '8px 0' } },
            icon('error', 'err', t('Problem')),
            el('span', {}, row.error.message, ' ', el('span', { class: 'muted' }, row.error.remedy)),
          ),
      row.segments.map((segment, i) => this.#segment(row, segment, i)),
      row.hidden > 0
        ? el('p', { class: 'muted small' }, t('{0} further tokens are not shown.', integer(row.hidden)))
        : null,
    );
  }

  #segment(row: LensRow, segment: LensSegment, place: number): HTMLElement {
    if (segment.ids[0] === -1) return el('div', { class: 'ln-toks raw muted' }, segment.texts[0]);
    const state = segmentKind(segment);
    const counted = tokensText(segment.ids.length);
    const head = `${segment.who}, ${counted}, ${kindText(state)}`;
    const tokens = el('div', {
      class: 'ln-toks',
      role: 'listbox',
      'aria-label': head,
      'aria-orientation': 'horizontal',
    });
    const draw = (): void => {
      const offset = row.segments.slice(0, place).reduce((sum, { ids }) => sum + ids.length, 0);
      fill(
        tokens,
        segment.ids.map((_, i) => token(segment, i, offset)),
      );
      tokens.querySelector('.tk')?.setAttribute('tabindex', '0');
    };
    const turn = el(
      'div',
      { class: 'ln-turn' },
      el('div', { class: 'ln-who' }, segment.who, el('span', {}, counted), el('span', {}, kindText(state))),
      tokens,
    );
    if (segment.who !== 'system' || state !== 'masked') {
      draw();
      return turn;
    }
    // What is the same in most rows stays folded until asked for.
    const key = `${row.index} ${place}`;
    const fold = action(
      '',
      () => {
        const open = !this.#open.has(key);
        if (open) this.#open.add(key);
        else this.#open.delete(key);
        show();
      },
      { class: 'plain ln-fold' },
    );
    const show = (): void => {
      const open = this.#open.has(key);
      if (open && tokens.childElementCount === 0) draw();
      turn.hidden = !open;
      fold.setAttribute('aria-expanded', String(open));
    };
    fill(fold, icon('chevron-right'), head);
    show();
    return el('div', {}, fold, turn);
  }

  #over(target: EventTarget | null): void {
    const element = target instanceof Element ? target.closest<HTMLElement>('.tk') : null;
    if (element === this.#marked) return;
    this.#hide();
    if (element === null) return;
    const row = this.#shown.find((shown) => shown.element.contains(element))?.row;
    if (row === undefined) return;
    const at = Number(element.dataset.at);
    const { segment, index } = tokenAt(row, at);
    const text = segment.texts[index]!;
    const kind = kinds[segment.kinds[index]!]!;
    const { max_length, truncation } = this.host.settings();
    const why =
      kind === 'trained'
        ? t('trained: the model learns to write it')
        : kind === 'masked'
          ? t('masked: {0}, only read', segment.who)
          : truncation === 'drop'
            ? t('cut: the row is longer than max_length {0}', integer(max_length))
            : t('cut: beyond max_length {0}', integer(max_length));
    const shown = text === '' ? t('part of a character') : JSON.stringify(text);
    element.classList.add('at');
    element.setAttribute('aria-label', `${shown}, ${why}, ${t('position {0}', at + 1)}`);
    this.#marked = element;
    const [a, b] = [element.getBoundingClientRect(), this.element.getBoundingClientRect()];
    this.#hover = el(
      'div',
      {
        class: 'lw-hover',
        'aria-hidden': 'true',
        style: {
          left: `${Math.max(0, Math.min(a.left - b.left - 8, b.width - 240))}px`,
          top: `${a.bottom - b.top + 4}px`,
        },
      },
      el('div', { style: { 'margin-bottom': '2px' } }, el('code', {}, shown)),
      el(
        'table',
        {},
        el('tr', {}, el('th', {}, t('Token')), el('td', {}, integer(segment.ids[index]!))),
        el(
          'tr',
          {},
          el('th', {}, t('Position')),
          el('td', {}, t('{0} of {1}', integer(at + 1), integer(row.tokens))),
        ),
      ),
      el(
        'div',
        { style: { 'margin-top': '2px' } },
        why,
        segment.ends.includes(index) ? `; ${t('it ends the answer')}` : '',
      ),
    );
    this.element.append(this.#hover);
    // Under the last line there may be no room.
    const place = this.#hover.getBoundingClientRect();
    if (place.bottom > innerHeight) this.#hover.style.top = `${a.top - b.top - place.height - 4}px`;
  }

  #hide(): void {
    this.#hover?.remove();
    this.#marked?.classList.remove('at');
    this.#hover = undefined;
    this.#marked = undefined;
  }

  #key(event: KeyboardEvent): void {
    if (event.key === 'Escape') {
      this.#hide();
      return;
    }
    const from = event.target as HTMLElement;
    if (!from.classList.contains('tk')) return;
    const siblings = [...from.parentElement!.querySelectorAll<HTMLElement>('.tk')];
    const at = siblings.indexOf(from);
    const next =
      event.key === 'ArrowRight'
        ? siblings[at + 1]
        : event.key === 'ArrowLeft'
          ? siblings[at - 1]
          : event.key === 'Home'
            ? siblings[0]
            : event.key === 'End'
              ? siblings.at(-1)
              : event.key === 'ArrowDown' || event.key === 'ArrowUp'
                ? verticalNeighbour(siblings, from, event.key === 'ArrowDown')
                : undefined;
    if (!/^(Arrow|Home|End)/.test(event.key)) return;
    event.preventDefault();
    if (next === undefined) return;
    from.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}
