// One side of the playground: a text that grows token by token, shaded by probability, with what else could have stood there
// on hover and focus, and its counts.
import type { ChatTurn, SayResult, TokenAlternative } from '../../src/protocol/trainer';
import { el, fill, icon } from '../shared/dom';
import { fixed, integer } from '../shared/format';
import { plural, t } from '../shared/texts';

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

  /** `label` names the text, `copyLabel` the button that copies it. */
  constructor(label: string, copyLabel: string, onCopy: (text: string) => void) {
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
              'aria-label': copyLabel,
              title: t('Copy'),
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
          el('span', { class: 'small muted' }, role === 'user' ? t('You') : t('Model')),
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
          'aria-label': [
            piece.text.trim() || t('white space'),
            ...(piece.probability === undefined ? [] : [t('probability {0}', fixed(piece.probability, 2))]),
          ].join(', '),
          dataset: { at: String(index) },
        },
        piece.text,
      ),
    );
  }

  finish({ finishReason, tokens, tokensPerSecond, promptTokens }: SayResult): void {
    if (this.#pieces.length === 0) fill(this.#out);
    const words = { stop: t('end of text'), length: t('length reached'), cancelled: t('stopped') }[
      finishReason
    ];
    this.#out.append(el('span', { class: 'pg-end' }, words));
    const known = this.#pieces.flatMap(({ probability }) => (probability === undefined ? [] : [probability]));
    // `back-quoted` is the number, in bold.
    const counted = (text: string): HTMLElement =>
      el(
        'span',
        {},
        text.split('`').map((part, i) => (i % 2 === 1 ? el('b', {}, part) : part)),
      );
    fill(
      this.#foot,
      counted(plural(tokens, '`1` token', '`{0}` tokens')),
      tokensPerSecond === null ? null : counted(t('`{0}` tokens/s', fixed(tokensPerSecond, 1))),
      known.length === 0
        ? null
        : [
            counted(t('mean probability `{0}`', fixed(meanProbability(known), 2))),
            counted(t('below 0.5: `{0}`', integer(known.filter((p) => p < 0.5).length))),
          ],
      counted(t('`{0}` in the prompt', integer(promptTokens))),
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
        t('Token {0}, most likely here', integer(at + 1)),
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
            el('td', { class: 'n' }, fixed(probability, 2)),
          ),
        ),
        piece.alternatives.some(({ probability }) => probability === piece.probability)
          ? null
          : el(
              'tr',
              { class: 'me' },
              el('td', { class: 'mono' }, JSON.stringify(piece.text)),
              el('td', { class: 'bar' }, el('i', { style: { width: `${100 * (piece.probability ?? 0)}%` } })),
              el('td', { class: 'n' }, fixed(piece.probability ?? 0, 2)),
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
