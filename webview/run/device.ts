// The device of a run: how much of its memory is taken and how busy it is, now and over the run. It draws what it is told.
import { type Child, el, quantity } from '../shared/dom';
import { bytes, bytesText } from '../shared/format';
import { t } from '../shared/texts';
import { devicePeak, lineHeight as height, sharePath, lineWidth as width } from './deviceLine';
import type { DevicePoint } from './history';

const svgSpace = 'http://www.w3.org/2000/svg';

function line(path: string, label: string): SVGSVGElement {
  const svg = document.createElementNS(svgSpace, 'svg');
  svg.setAttribute('class', 'rn-use');
  svg.setAttribute('viewBox', `0 0 ${width} ${height}`);
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', label);
  const drawn = document.createElementNS(svgSpace, 'path');
  drawn.setAttribute('d', path);
  svg.append(drawn);
  return svg;
}

/** Tiles with a line each; nothing where the run has told nothing of a device. */
export function deviceUse(points: readonly DevicePoint[]): Child {
  const last = points.at(-1);
  if (last === undefined) return null;
  const { device, name, used, total, utilization } = last;
  const peak = devicePeak(points);
  const percent = utilization === null ? '' : String(Math.round(100 * utilization));
  const tile = (title: string, value: Child, path: string, said: string): HTMLElement =>
    el('div', {}, el('h3', {}, title, el('span', { class: 'num' }, value)), line(path, said));
  return el(
    'div',
    { class: 'rn-device' },
    el('p', { class: 'small muted' }, `${device}, ${name}`),
    peak === null || total === null
      ? null
      : tile(
          t('Device memory'),
          used === null ? '–' : quantity(...bytes(used)),
          sharePath(
            points.map((one) => ({ at: one.at, share: one.used === null ? null : one.used / total })),
          ),
          t(
            'Memory of {0}: {1} of {2} taken, {3} at most',
            device,
            used === null ? t('unknown') : bytesText(used),
            bytesText(total),
            bytesText(peak),
          ),
        ),
    peak === null || total === null
      ? null
      : el(
          'p',
          { class: 'small muted' },
          t('of {0}, at most {1}, all programs', bytesText(total), bytesText(peak)),
        ),
    points.every((one) => one.utilization === null)
      ? null
      : tile(
          t('Device busy'),
          percent === '' ? '–' : quantity(percent, '%'),
          sharePath(points.map((one) => ({ at: one.at, share: one.utilization }))),
          t(
            'Share of the time in which {0} computed: {1} now',
            device,
            percent === '' ? t('unknown') : `${percent} %`,
          ),
        ),
  );
}
