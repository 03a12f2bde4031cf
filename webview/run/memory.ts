// The memory of a run, measured against forecast. Draws what the run and its log tell into one place.
import type { RunView } from '../../src/protocol/panels/run';
import { type Child, el, fill, quantity } from '../shared/dom';
import { bytes, bytesText, fixed } from '../shared/format';
import { t } from '../shared/texts';
import { deviceUse } from './device';
import type { RunHistory } from './history';
import { measuredPeak } from './stats';

export function drawMemory(place: HTMLElement, run: RunView, own: RunHistory): void {
  const predicted = run.plan?.predictedPeakBytes ?? null;
  const measured = measuredPeak(run, own);
  if (measured === null && predicted === null) {
    fill(place);
    return;
  }
  const scale = 1.1 * Math.max(measured ?? 0, predicted ?? 0);
  const percent = (value: number): string => `${(100 * value) / scale}%`;
  const row = (label: string, child: Child): HTMLElement =>
    el('tr', {}, el('th', { scope: 'row' }, label), el('td', {}, child));
  const difference = measured !== null && predicted !== null ? 100 * (measured / predicted - 1) : null;
  fill(
    place,
    el('h2', {}, t('Memory')),
    el(
      'div',
      { class: 'rn-meter', role: 'img', 'aria-label': spoken(measured, predicted) },
      measured === null ? null : el('div', { class: 'fill', style: { width: percent(measured) } }),
      predicted === null
        ? null
        : el('div', { class: 'tick', style: { left: percent(predicted) } }, el('span', {}, t('forecast'))),
    ),
    el(
      'table',
      { class: 'lw-rows' },
      el('caption', { class: 'said' }, t('Memory')),
      el(
        'tbody',
        {},
        predicted === null ? null : row(t('Forecast'), quantity(...bytes(predicted))),
        measured === null ? null : row(t('Measured peak'), quantity(...bytes(measured))),
        difference === null ? null : row(t('Difference'), quantity(signed(difference), '%')),
      ),
    ),
    deviceUse(own.device),
  );
}

function spoken(measured: number | null, predicted: number | null): string {
  return t(
    'Measured {0}, forecast {1}',
    measured === null ? t('nothing yet') : bytesText(measured),
    predicted === null ? t('none') : bytesText(predicted),
  );
}

function signed(value: number): string {
  return `${value > 0 ? '+' : value < 0 ? '−' : ''}${fixed(Math.abs(value), 1)}`;
}
