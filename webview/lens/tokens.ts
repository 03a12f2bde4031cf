// Tokens of a row: what becomes of each, and each as an element. Which one stands above or below another.
import type { LensRow, LensSegment } from '../../src/protocol/panels/lens';
import { el } from '../shared/dom';
import { plural, t } from '../shared/texts';

/** By the protocol's numbers. */
export const kinds = ['masked', 'trained', 'cut'] as const;

/** The token above or below, by where it stands. */
export function verticalNeighbour(
  siblings: readonly HTMLElement[],
  from: HTMLElement,
  down: boolean,
): HTMLElement | undefined {
  const { left, top } = from.getBoundingClientRect();
  let best: HTMLElement | undefined;
  let distance = Infinity;
  for (const sibling of siblings) {
    const place = sibling.getBoundingClientRect();
    const dy = down ? place.top - top : top - place.top;
    if (dy < 4) continue;
    const d = dy * 1000 + Math.abs(place.left - left);
    if (d < distance) {
      distance = d;
      best = sibling;
    }
  }
  return best;
}

/** The segment of a row's token, and the token's index in it. */
export function tokenAt(row: LensRow, at: number): { segment: LensSegment; index: number } {
  let index = at;
  for (const segment of row.segments) {
    if (index < segment.ids.length) return { segment, index };
    index -= segment.ids.length;
  }
  return { segment: row.segments[0]!, index: 0 };
}

export function tokensText(count: number): string {
  return plural(count, '1 token', '{0} tokens');
}

export type Kind = (typeof kinds)[number];

export function kindText(kind: Kind): string {
  return { masked: t('masked'), trained: t('trained'), cut: t('cut') }[kind];
}

/** What becomes of a segment: of all its tokens, or of those that count. */
export function segmentKind({ kinds: list }: LensSegment): Kind {
  const has = [0, 1, 2].map((kind) => list.includes(kind as 0 | 1 | 2));
  const names = kinds.filter((_, i) => has[i]);
  return names.length === 1 ? names[0]! : has[1] ? 'trained' : 'masked';
}

/** A token as an element; `offset` tokens of the row stand before its segment. */
export function token(segment: LensSegment, i: number, offset: number): (Node | null)[] {
  const text = segment.texts[i]!;
  const kind = kinds[segment.kinds[i]!]!;
  const special = segment.special.includes(i);
  const lines = text.split('\n');
  const body = lines.flatMap((line, n) => (n === 0 ? [line] : [el('span', { class: 'nl' }, '⏎'), line]));
  const element = el(
    'span',
    {
      class: `tk ${kind}${special ? ' sp' : ''}${segment.ends.includes(i) ? ' eos' : ''}${text === '' ? ' part' : ''}`,
      role: 'option',
      'aria-selected': 'false',
      'aria-label':
        text.trim() === ''
          ? text === ''
            ? t('part of a character')
            : t('white space {0}', JSON.stringify(text))
          : undefined,
      tabindex: '-1',
      dataset: { at: String(offset + i) },
    },
    text === '' ? '·' : body,
  );
  return [element, lines.length > 1 && !special ? el('br') : null];
}
