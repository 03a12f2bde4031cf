// The counts of the row that is looked at, which are also the key to the tokens' colours.
import type { LensRow } from '../../src/protocol/panels/lens';
import { el, fill } from '../shared/dom';
import { integer } from '../shared/format';
import { plural, t } from '../shared/texts';

export function drawRowCounts(place: HTMLElement, row: LensRow | undefined): void {
  const known = row !== undefined && row.tokens > 0;
  const number = (value: number | undefined): string => (known ? integer(value ?? 0) : '–');
  const line = (swatch: string, label: string, value: Node | string): HTMLElement =>
    el(
      'tr',
      {},
      el(
        'th',
        { scope: 'row' },
        el('span', { class: `ln-sw tk ${swatch}`, 'aria-hidden': 'true' }, 'ab'),
        label,
      ),
      el('td', {}, value),
    );
  const end = row?.end ?? 'none';
  fill(
    place,
    el(
      'h2',
      {},
      t('This row'),
      ' ',
      el('span', { class: 'aside' }, known ? plural(row.tokens, '1 token', '{0} tokens') : ''),
    ),
    el(
      'table',
      { class: 'lw-rows ln-rows' },
      el(
        'tbody',
        {},
        line('trained', t('Trained'), number(row?.trained)),
        line('masked', t('Masked'), number(row?.masked)),
        line('cut', t('Cut by {0}', 'max_length'), number(row?.cut)),
        line(
          `eos ${end === 'cut' ? 'cut' : end === 'trained' ? 'trained' : 'masked'}`,
          t('End of answer (EOS)'),
          endText(end, known),
        ),
      ),
    ),
  );
}

function endText(end: LensRow['end'], known: boolean): Node | string {
  switch (end) {
    case 'none':
      return known ? el('span', { class: 'warn' }, t('none')) : '–';
    case 'cut':
      return el('span', { class: 'err' }, t('cut'));
    case 'trained':
      return t('trained');
    case 'masked':
      return t('masked');
  }
}
