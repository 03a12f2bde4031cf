// The rail: memory of the run with its verdict, what would make it fit, what it takes otherwise. It draws what it is told and
// asks for edits.
import type {
  ConfigureState,
  DatasetFacts,
  FormProblem,
  MemoryForecast,
  MemoryPart,
  RecipeEdit,
} from '../../src/protocol/panels/configure';
import { type Child, el, fill, icon, quantity } from '../shared/dom';
import { bytes, bytesText, count, fixed, integer } from '../shared/format';
import { plural, t } from '../shared/texts';
import { isOver, isOverBeside, isOverOnDevice, verdictText, workspaceNote } from './verdict';

const gib = 1024 ** 3;

const parts: readonly { key: MemoryPart; label: string; note: string }[] = [
  { key: 'weights', label: t('Weights'), note: t('frozen base') },
  { key: 'adapter', label: t('Adapter'), note: '' },
  { key: 'gradients', label: t('Gradients'), note: 'fp32' },
  { key: 'optimizer', label: t('Optimizer'), note: t('its states, fp32') },
  { key: 'activations', label: t('Activations'), note: '' },
  { key: 'saving', label: t('Checkpoint'), note: t('copies while one is written') },
  { key: 'workspace', label: t('Workspace'), note: t('process, batches, arena') },
];

function verdict(forecast: MemoryForecast): HTMLElement {
  const over = isOver(forecast);
  const unknown = forecast.availableBytes === null;
  return el(
    'strong',
    { class: over ? 'err' : '' },
    icon(over ? 'error' : unknown ? 'info' : 'pass', over || unknown ? '' : 'okc'),
    verdictText(forecast),
  );
}

/** The verdict, the bar and its parts. */
export function drawMemory(
  place: HTMLElement,
  forecast: MemoryForecast,
  state: ConfigureState,
  apply: (edits: readonly RecipeEdit[]) => void,
): void {
  const { totalBytes, availableBytes, exact } = forecast;
  const over = isOverOnDevice(forecast);
  const workspace = workspaceNote(forecast);
  const scale = Math.max(totalBytes, availableBytes ?? 0) * (over ? 1 : 1.04);
  const percent = (value: number): string => `${(100 * value) / scale}%`;
  const amounts = forecast.parts;
  const needed = fixed(totalBytes / gib, 2);
  const value = (name: string): unknown => state.form.fields.find(({ field }) => field.key === name)?.value;
  const notes: Partial<Record<MemoryPart, string>> = {
    adapter: t('{0} parameters, fp32', count(forecast.trainableParameters)),
    activations: `${value('per_device_train_batch_size')} × ${value('max_length')}, ${checkpointing(value('gradient_checkpointing'))}`,
    ...(workspace === undefined ? {} : { workspace }),
  };
  fill(
    place,
    el(
      'div',
      { class: 'lw-verdict' },
      verdict(forecast),
      el(
        'span',
        { class: 'num small' },
        exact ? '' : '≈ ',
        availableBytes === null ? needed : t('{0} needed, {1}', needed, fixed(availableBytes / gib, 2)),
        el('span', { class: 'u' }, availableBytes === null ? t('GiB needed') : t('GiB free')),
      ),
    ),
    el(
      'div',
      {
        class: 'lw-mem',
        role: 'img',
        'aria-label':
          availableBytes === null
            ? t('Forecast {0}', bytesText(totalBytes))
            : t('Forecast {0}, {1} free', bytesText(totalBytes), bytesText(availableBytes)),
      },
      parts.map(({ key, label }) =>
        amounts === null
          ? null
          : el('div', {
              class: 'seg',
              title: `${label} ${bytesText(amounts[key])}`,
              style: {
                flex: `${amounts[key]} 0 0`,
                background: `var(--lw-${key})`,
              },
            }),
      ),
      el('div', { style: { flex: `${Math.max(0, scale - totalBytes)} 0 0` } }),
      availableBytes === null
        ? null
        : [
            over
              ? el('div', { class: 'over', style: { left: percent(availableBytes) } })
              : el('div', { class: 'room', style: { left: percent(totalBytes) } }),
            el(
              'div',
              { class: 'limit', style: { left: percent(availableBytes) } },
              el(
                'span',
                { class: availableBytes / scale > 0.85 ? 'atEnd' : '' },
                t('free {0}', fixed(availableBytes / gib, 2)),
              ),
            ),
          ],
    ),
    el(
      'table',
      { class: 'lw-parts' },
      el('caption', { class: 'said' }, t('Memory by part')),
      el(
        'tbody',
        {},
        parts.map(({ key, label, note }) => {
          const [amount, unit] = amounts === null ? ['–', ''] : bytes(amounts[key]);
          return el(
            'tr',
            {},
            el('td', { class: 'sw' }, el('i', { style: { background: `var(--lw-${key})` } })),
            el('td', {}, label),
            el('td', { class: notes[key] === undefined ? 'nt' : 'nt whole' }, notes[key] ?? note),
            el('td', { class: 'num' }, quantity(amount, unit)),
          );
        }),
        el(
          'tr',
          { class: 'sum' },
          el('td', { colspan: 2 }, t('Peak')),
          el('td', { class: 'nt' }, exact ? t('programs compiled and planned') : t('about, being planned')),
          el('td', { class: 'num' }, quantity(...bytes(totalBytes))),
        ),
        forecast.hostBytes === 0
          ? null
          : el(
              'tr',
              {},
              el('td', { colspan: 2 }, t('System memory')),
              el(
                'td',
                { class: 'nt whole' },
                forecast.availableHostBytes === null
                  ? t('beside the device: process, checkpoint')
                  : t(
                      'beside the device: process, checkpoint; {0} available',
                      bytesText(forecast.availableHostBytes),
                    ),
              ),
              el(
                'td',
                { class: isOverBeside(forecast) ? 'num err' : 'num' },
                quantity(...bytes(forecast.hostBytes)),
              ),
            ),
      ),
    ),
    over ? suggestions(forecast, apply) : null,
  );
}

function checkpointing(value: unknown): string {
  return value === 'full' || value === true
    ? t('recomputed')
    : value === 'none' || value === false
      ? t('all kept')
      : t('partly recomputed');
}

function suggestions(forecast: MemoryForecast, apply: (edits: readonly RecipeEdit[]) => void): Child {
  const { suggestions: list, totalBytes, availableBytes } = forecast;
  const fitting = list?.filter((one) => availableBytes === null || one.totalBytes <= availableBytes) ?? [];
  const shown = (fitting.length > 0 ? fitting : (list ?? [])).slice(0, 3);
  const title =
    fitting.length > 0 || list === null
      ? t('Smallest change that fits')
      : t('No single change fits; these come closest');
  return el(
    'div',
    { class: 'cf-suggest' },
    el('h3', {}, title),
    list === null
      ? el('p', { class: 'small muted' }, t('Looking for it…'))
      : shown.length === 0
        ? el('p', { class: 'small muted' }, t('Choose a smaller model or another device.'))
        : shown.map((one) => {
            const [amount, unit] = bytes(totalBytes - one.totalBytes);
            return el(
              'button',
              { type: 'button', class: 'plain lw-do', on: { click: () => apply(one.edits) } },
              el(
                'span',
                { class: 'what' },
                one.edits.map(({ key, value }, i) => [
                  i > 0 ? ', ' : '',
                  el('code', {}, key),
                  ` ${Array.isArray(value) ? value.join(', ') : String(value)}`,
                ]),
              ),
              el('span', { class: 'gain' }, quantity(`−${amount}`, unit)),
              el(
                'span',
                { class: 'note' },
                one.sameResult ? t('same result, slower') : t('changes the result'),
              ),
              el('span', { class: 'apply' }, t('Apply')),
            );
          }),
  );
}

/** Steps, disk and what else a run takes. */
export function drawNeeds(
  place: HTMLElement,
  data: DatasetFacts | null,
  forecast: MemoryForecast | null,
  state: ConfigureState,
): void {
  const value = (name: string): unknown => state.form.fields.find(({ field }) => field.key === name)?.value;
  const kept = Number(value('save_total_limit') ?? 0) || null;
  const trainable = forecast?.trainableParameters ?? state.coverage?.trainableParameters ?? 0;
  const rows: [string, Child][] = [];
  if (data?.steps != null)
    rows.push([
      t('Steps'),
      quantity(
        `${integer(data.steps)}${data.stepsPerEpoch === null ? '' : ','}`,
        data.stepsPerEpoch === null ? '' : t('an epoch has {0}', integer(data.stepsPerEpoch)),
      ),
    ]);
  if (data !== null && data.steps !== null && data.stepsPerEpoch !== null)
    rows.push([t('Tokens'), quantity(count((data.tokens / data.stepsPerEpoch) * data.steps), t('in all'))]);
  if (trainable > 0) {
    const [amount, unit] = bytes(4 * trainable * 3);
    const each = t('{0} a checkpoint', unit);
    rows.push([t('Disk'), quantity(amount, kept === null ? each : `${each}, ${t('{0} kept', kept)}`)]);
  }
  place.hidden = rows.length === 0;
  fill(
    place,
    el(
      'table',
      { class: 'lw-rows' },
      el('caption', { class: 'said' }, t('What the run takes')),
      el(
        'tbody',
        {},
        rows.map(([label, child]) => el('tr', {}, el('th', { scope: 'row' }, label), el('td', {}, child))),
      ),
    ),
  );
}

/** Verdict and counts in the foot of a narrow page. */
export function drawFoot(
  place: HTMLElement,
  forecast: MemoryForecast | null,
  data: DatasetFacts | null,
  problems: readonly FormProblem[],
  start: HTMLElement,
): void {
  const found = plural(problems.length, '1 problem', '{0} problems');
  const steps = data?.steps == null ? '' : `${t('{0} steps', integer(data.steps))}, `;
  fill(
    place,
    el(
      'div',
      { class: 'grow' },
      forecast === null ? null : verdict(forecast),
      el('div', { class: 'small muted' }, `${steps}${found}`),
    ),
    start,
  );
}
