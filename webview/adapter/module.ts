// The chosen module: its shape, how far it moved, its singular values. Draws what the model knows into one place.
import { el, fill, quantity } from '../shared/dom';
import { decimal, fixed } from '../shared/format';
import { t } from '../shared/texts';
import { barChart } from './bars';
import type { AdapterModel } from './model';
import { effectiveRank, energy } from './rank';

/** `pick` is the rank that is suggested for the adapter; undefined where none is. */
export function drawModule(
  place: HTMLElement,
  model: AdapterModel,
  module: number,
  pick: number | undefined,
): void {
  const head = model.head.modules[module];
  if (head === undefined) return;
  const values = model.modules.get(module);
  const sigma = values?.sigma ?? [];
  const base = model.base.get(module);
  const row = (label: string, ...value: Parameters<typeof el>[2][]) =>
    el('tr', {}, el('th', { scope: 'row' }, label), el('td', {}, ...value));
  const norm = values?.norm ?? undefined;
  const percent = (rank: number) => quantity(fixed(100 * energy(sigma, rank), 1), '%');
  fill(
    place,
    el(
      'h2',
      { class: 'ad-module' },
      el('span', { class: 'mono' }, head.path.replace(/^(model|transformer)\./, '')),
    ),
    el(
      'table',
      { class: 'lw-rows' },
      el(
        'tbody',
        {},
        row(t('Shape'), `${head.inFeatures} → ${head.outFeatures}`),
        norm !== undefined && base !== undefined
          ? row(
              t('‖ΔW‖ of ‖W‖'),
              `${significant(norm)} `,
              el('span', { class: 'u' }, t('of')),
              ` ${significant(base)}, `,
              quantity(fixed((100 * norm) / base, 2), '%'),
            )
          : row('‖ΔW‖', norm === undefined ? '–' : significant(norm)),
        row(
          t('Effective rank'),
          sigma.length === 0 ? '–' : fixed(effectiveRank(sigma), 1),
          el('span', { class: 'u' }, t('of {0}', head.rank)),
        ),
        pick === undefined || sigma.length === 0
          ? row(t('Largest share'), sigma.length === 0 ? '–' : percent(1))
          : row(t('Kept by r {0}', pick), percent(pick)),
      ),
    ),
    el(
      'div',
      { class: 'ad-chart' },
      sigma.length === 0
        ? el(
            'p',
            { class: 'muted small' },
            values === undefined ? t('Not computed yet.') : t('Its factors hold values that are not finite.'),
          )
        : spectrum(sigma, pick),
    ),
  );
}

function significant(value: number): string {
  return decimal(value.toPrecision(3));
}

function spectrum(sigma: readonly number[], pick: number | undefined): HTMLElement {
  const every = Math.ceil(sigma.length / 8);
  const top = sigma[0] ?? 0;
  const digits = top >= 10 ? 0 : top >= 1 ? 1 : Math.min(6, 1 - Math.floor(Math.log10(top || 1)));
  return barChart({
    label: t(
      'Singular values of ΔW: {0}, from {1} to {2}.',
      sigma.length,
      significant(top),
      significant(sigma.at(-1) ?? 0),
    ),
    values: sigma,
    names: sigma.map((_, i) => (i % every === 0 ? String(i + 1) : '')),
    rows: sigma.map((_, i) => String(i + 1)),
    mark: (i) => (pick !== undefined && i >= pick ? 'dim' : ''),
    ...(pick === undefined
      ? {}
      : {
          cut: {
            at: pick,
            text: t('r {0} keeps {1} %', pick, fixed(100 * energy(sigma, pick), 1)),
            side: 'right' as const,
          },
        }),
    axis: t('singular value of ΔW'),
    columns: [t('Index'), t('Value')],
    format: (value) => fixed(value, digits),
  });
}
