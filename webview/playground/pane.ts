// One side of the playground: a text that grows token by token, shaded by probability, with what else could have stood there
// on hover and focus, and its counts.
import type { ChatTurn, SayResult, TokenAlternative } from '../../src/protocol/trainer';
import { el, fill, icon } from '../shared/dom';
import { integer } from '../shared/format';

interface Piece {
  text: string;
  probability: number | undefined;
  alternatives: readonly TokenAlternative[];
}

/** Class of a probability: nothing from 0.9, then three steps. */
export function stepOf(probability: number | undefined): '' | 'p1' | 'p2' | 'p3' {
  if (probability === undefined || probability >= 0.9) return '';
  return probability >= 0.5 ? 'p1' : probability >= 0.2 ? 'p2' : 'p3';
}

/** Geometric mean: the probability that tokens of equal likelihood would have. */
export function meanProbability(values: readonly number[]): number {
  if (values.length === 0) return 0;
  return Math.exp(values.reduce((sum, value) => sum + Math.log(Math.max(value, 1e-12)), 0) / values.length);
}

export class Pane {
  readonly element: HTMLElement;
  readonly #name = el('span', {});
  readonly #aside = el('span', { class: 'aside' });
  readonly #out: HTMLElement;
  readonly #foot = el('div', { class: 'pg-foot' });
  readonly #past = el('ol', { class: 'pg-past', hidden: true });
  #pieces: Piece[] = [];
  #hover: HTMLElement | undefined;
  #marked: HTMLElement | undefined;

  constructor(label: string, onCopy: (text: string) => void) {
    // Streaming tokens are not announced; the page says when a text is done.
    this.#out = el('div', { class: 'pg-out', role: 'group', 'aria-label': label });
    this.element = el(
      'section',
      { class: 'pg-pane' },
      el(
        'h2',
        {},
        this.#name,
        this.#aside,
        el(
          'span',
          { class: 'end' },
          el(
            'button',
            {
              type: 'button',
              class: 'lw-ib',
              'aria-label': `Copy the text of ${label}`,
              title: 'Copy',
              on: { click: () => onCopy(this.text) },
            },
            icon('copy'),
          ),
        ),
      ),
      this.#past,
      this.#out,
      this.#foot,
    );
    this.#out.addEventListener('mouseover', (event) => this.#over(event.target));
    this.#out.addEventListener('mouseleave', () => this.#hide());
    this.#out.addEventListener('focusin', (event) => this.#over(event.target));
    this.#out.addEventListener('focusout', () => this.#hide());
    this.#out.addEventListener('keydown', (event) => this.#key(event));
  }

  get text(): string {
    return this.#pieces.map(({ text }) => text).join('');
  }

  head(name: string, aside: string): void {
    this.#name.textContent = name;
    this.#aside.textContent = aside;
  }

  /** What was said before, above the text. */
  past(turns: readonly ChatTurn[]): void {
    this.#past.hidden = turns.length === 0;
    fill(
      this.#past,
      turns.map(({ role, content }) =>
        el(
          'li',
          { class: role },
          el('span', { class: 'small muted' }, role === 'user' ? 'You' : 'Model'),
          content,
        ),
      ),
    );
    this.#past.scrollTop = this.#past.scrollHeight;
  }

  say(...children: Parameters<typeof fill>[1][]): void {
    this.#pieces = [];
    this.#hide();
    fill(this.#out, ...children);
    fill(this.#foot);
  }

  add(piece: Piece): void {
    if (this.#pieces.length === 0) fill(this.#out);
    const index = this.#pieces.push(piece) - 1;
    this.#out.append(
      el(
        'span',
        {
          class: `pk ${stepOf(piece.probability)}`.trim(),
          tabindex: index === 0 ? '0' : '-1',
          role: 'img',
          'aria-label': `${piece.text.trim() || 'white space'}${piece.probability === undefined ? '' : `, probability ${piece.probability.toFixed(2)}`}`,
          dataset: { at: String(index) },
        },
        piece.text,
      ),
    );
  }

  finish({ finishReason, tokens, tokensPerSecond, promptTokens }: SayResult): void {
    if (this.#pieces.length === 0) fill(this.#out);
    const words = { stop: 'end of text', length: 'length reached', cancelled: 'stopped' }[finishReason];
    this.#out.append(el('span', { class: 'pg-end' }, words));
    const known = this.#pieces.flatMap(({ probability }) => (probability === undefined ? [] : [probability]));
    const number = (value: string, label: string, before = false) =>
      el('span', {}, before ? `${label} ` : null, el('b', {}, value), before ? null : ` ${label}`);
    fill(
      this.#foot,
      number(integer(tokens), tokens === 1 ? 'token' : 'tokens'),
      tokensPerSecond === null ? null : number(tokensPerSecond.toFixed(1), 'tokens/s'),
      known.length === 0
        ? null
        : [
            number(meanProbability(known).toFixed(2), 'mean probability', true),
            number(integer(known.filter((p) => p < 0.5).length), 'below 0.5:', true),
          ],
      number(integer(promptTokens), 'in the prompt'),
    );
  }

  #over(target: EventTarget | null): void {
    const element = target instanceof Element ? target.closest<HTMLElement>('.pk') : null;
    if (element === this.#marked) return;
    this.#hide();
    if (element === null) return;
    const at = Number(element.dataset.at);
    const piece = this.#pieces[at];
    if (piece === undefined || piece.alternatives.length === 0) return;
    element.classList.add('at');
    this.#marked = element;
    const [a, b] = [element.getClientRects()[0]!, this.element.getBoundingClientRect()];
    this.#hover = el(
      'div',
      {
        class: 'lw-hover',
        'aria-hidden': 'true',
        style: {
          left: `${Math.max(0, Math.min(a.left - b.left - 8, b.width - 250))}px`,
          top: `${a.bottom - b.top + 6}px`,
          width: '236px',
        },
      },
      el(
        'div',
        { class: 'muted', style: { 'margin-bottom': '4px' } },
        `Token ${integer(at + 1)}, most likely here`,
      ),
      el(
        'table',
        { class: 'pg-alt' },
        piece.alternatives.map(({ text, probability }) =>
          el(
            'tr',
            { class: probability === piece.probability ? 'me' : '' },
            el('td', { class: 'mono' }, JSON.stringify(text)),
            el('td', { class: 'bar' }, el('i', { style: { width: `${100 * probability}%` } })),
            el('td', { class: 'n' }, probability.toFixed(2)),
          ),
        ),
        piece.alternatives.some(({ probability }) => probability === piece.probability)
          ? null
          : el(
              'tr',
              { class: 'me' },
              el('td', { class: 'mono' }, JSON.stringify(piece.text)),
              el('td', { class: 'bar' }, el('i', { style: { width: `${100 * (piece.probability ?? 0)}%` } })),
              el('td', { class: 'n' }, (piece.probability ?? 0).toFixed(2)),
            ),
      ),
    );
    this.element.append(this.#hover);
  }

  #hide(): void {
    this.#hover?.remove();
    this.#marked?.classList.remove('at');
    this.#hover = undefined;
    this.#marked = undefined;
  }

  #key(event: KeyboardEvent): void {
    const from = event.target as HTMLElement;
    if (!from.classList.contains('pk')) return;
    if (event.key === 'Escape') this.#hide();
    const all = [...this.#out.querySelectorAll<HTMLElement>('.pk')];
    const at = all.indexOf(from);
    const next = {
      ArrowRight: all[at + 1],
      ArrowLeft: all[at - 1],
      Home: all[0],
      End: all.at(-1),
    }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    from.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}
