// What smaller ranks would keep of the whole adapter, and which one is worth taking. Draws what the model knows into one place.
import { action, el, fill, icon, quantity } from '../shared/dom';
import { bytes, fixed } from '../shared/format';
import { t } from '../shared/texts';
import type { AdapterModel } from './model';
import { type Resized, resized, smallerRanks, suggestedRank } from './rank';

export function drawResize(place: HTMLElement, model: AdapterModel, openConfig: () => void): void {
  const { spectra, head, rank } = model;
  const complete = model.modules.size === head.modules.length && spectra.length > 0;
  const pick = complete ? suggestedRank(spectra, rank) : undefined;
  const percent = (share: number) => (complete ? quantity(fixed(100 * share, 1), '%') : '–');
  const rows = smallerRanks(rank).map((k) => {
    const { kept, worst, bytes: size } = resized(spectra, k);
    return el(
      'tr',
      { class: pick?.rank === k ? 'pick' : '' },
      el('td', {}, k, k === rank ? el('span', { class: 'muted' }, ' ', t('now')) : null),
      el('td', { class: 'n' }, percent(kept)),
      el('td', { class: 'n' }, percent(worst)),
      el('td', { class: 'n' }, complete ? quantity(...bytes(size)) : '–'),
    );
  });
  const advice = complete ? adviceOf(model, pick) : null;
  fill(
    place,
    el('h2', {}, t('Smaller ranks')),
    el(
      'table',
      { class: 'lw-table' },
      el(
        'thead',
        {},
        el(
          'tr',
          {},
          ['r', t('‖ΔW‖² kept'), t('worst'), t('file')].map((name, i) =>
            el('th', { class: i === 0 ? '' : 'n', scope: 'col' }, name),
          ),
        ),
      ),
      el('tbody', {}, rows),
    ),
    advice === null
      ? null
      : el(
          'p',
          { class: 'lw-line small', style: { 'margin-top': '8px' } },
          icon(pick === undefined ? 'info' : 'lightbulb', pick === undefined ? '' : 'warn'),
          el('span', {}, advice),
        ),
    head.hasConfig
      ? el(
          'p',
          { class: 'small', style: { 'margin-top': '10px' } },
          action(t('Open {0}', 'adapter_config.json'), openConfig),
        )
      : null,
  );
}

function adviceOf({ unmoved, head, rank }: AdapterModel, pick: Resized | undefined): string | null {
  if (pick !== undefined)
    return t(
      'r {0} would keep {1} % of the change: a later run may take r {0}.',
      pick.rank,
      fixed(100 * pick.kept, 1),
    );
  if (unmoved.length === head.modules.length) return t('Nothing was trained: there is nothing to keep.');
  return rank === 1 ? null : t('Every smaller rank loses more than 3 % of the change: r {0} is used.', rank);
}
