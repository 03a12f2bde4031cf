// The page of a dataset: rows as the model will see them; beside them the row's counts, the lengths of all rows and what is
// wrong with them. Settings change everything on the spot; remedies go into the recipe.
// Longer than 400 lines: its rows are a file of their own; what is left is the page, its settings and who asks whom.
import type {
  LensContract,
  LensProgress,
  LensRow,
  LensSettings,
  LensState,
} from '../../src/protocol/panels/lens';
import { barChart } from '../adapter/bars';
import '../adapter/bars.css';
import { action, el, fill, icon, prose, quantity } from '../shared/dom';
import { count, integer } from '../shared/format';
import { openPage } from '../shared/page';
import { connect, RequestFailure } from '../shared/port';
import './lens.css';
import { Rows } from './rows';

const port = connect<LensContract, { row: number }>();
const main = openPage('Dataset as tokens');
const run = (request: Promise<unknown>): void =>
  void request.catch((cause: unknown) => {
    status.textContent = cause instanceof RequestFailure ? cause.report.message : String(cause);
  });

type Field = HTMLElement & { value: string };

let state: LensState | undefined;
let progress: LensProgress | undefined;
let current: LensRow | undefined;

const rows = new Rows({
  load: (from, number) => port.request('rows', { from, count: number }),
  openRow: (line) => run(port.request('openRow', { line })),
  onCurrent: (row) => {
    current = row;
    rowField.value = integer(row.index + 1);
    port.keep({ row: row.index });
    drawRow();
  },
  settings: () => state!.settings,
});

const title = el('h1', {});
const total = el('span', { class: 'muted' });
const rowField = el<Field>('vscode-text-field', {
  id: 'row',
  'aria-label': 'Row',
  on: { change: () => goToField() },
});
const maxField = el<Field>('vscode-text-field', {
  id: 'max',
  'aria-label': 'max_length, in tokens',
  on: { change: () => setMaxLength() },
});
const modelSlot = el('span', { class: 'f' });
const templateSlot = el('span', { class: 'f' });
const trainSlot = el('span', { class: 'f' });
const nextProblem = el(
  'button',
  {
    type: 'button',
    class: 'lw-chip',
    title: 'F8; Shift+F8 goes back',
    on: { click: () => problem(false, null) },
  },
  icon('warning'),
  'Next problem',
);
const status = el('p', { class: 'said', role: 'status' });
const failed = el('div', { class: 'ln-failed', role: 'alert', hidden: true });
const rowSection = el('section', {});
const allSection = el('section', { class: 'ln-hist' });
const problemSection = el('section', {});

const step = (name: 'chevron-left' | 'chevron-right', label: string, by: number) =>
  el(
    'button',
    {
      type: 'button',
      class: 'lw-ib',
      'aria-label': label,
      title: label,
      on: { click: () => go((current?.index ?? 0) + by) },
    },
    icon(name),
  );

const bar = el(
  'div',
  { class: 'ln-bar' },
  title,
  el(
    'span',
    { class: 'f ln-step' },
    step('chevron-left', 'Previous row', -1),
    el('label', { for: 'row' }, 'Row'),
    rowField,
    total,
    step('chevron-right', 'Next row', 1),
  ),
  el('span', { class: 'f' }, nextProblem),
  el(
    'div',
    { class: 'ln-set' },
    modelSlot,
    templateSlot,
    trainSlot,
    el('span', { class: 'f' }, el('label', { for: 'max' }, 'max_length'), maxField),
  ),
);

fill(
  main,
  bar,
  el(
    'div',
    { class: 'ln-two' },
    el('div', { style: { 'min-width': '0' } }, failed, rows.element, status),
    el(
      'aside',
      { class: 'lw-rail', 'aria-label': 'Counts and problems' },
      rowSection,
      allSection,
      problemSection,
    ),
  ),
);
new ResizeObserver(() => main.style.setProperty('--ln-bar', `${bar.offsetHeight}px`)).observe(bar);

function go(index: number): void {
  const last = (progress?.rows ?? 1) - 1;
  void rows.go(Math.max(0, Math.min(last, index)));
}

function goToField(): void {
  const wanted = Number(rowField.value.replaceAll(/[^\d]/g, ''));
  if (wanted >= 1) go(wanted - 1);
  else rowField.value = integer((current?.index ?? 0) + 1);
}

function setMaxLength(): void {
  const wanted = Number(maxField.value.replaceAll(/[^\d]/g, ''));
  if (Number.isSafeInteger(wanted) && wanted >= 2) set({ max_length: wanted });
  else maxField.value = String(state?.settings.max_length ?? '');
}

function set(change: Partial<LensSettings>): void {
  run(port.request('set', change));
}

async function findProblem(back: boolean, id: string | null): Promise<void> {
  const from = id === null ? (current?.index ?? -1) : -1;
  const found = await port.request('problemRow', { from, back, id });
  if (found !== null) {
    await rows.go(found);
    status.textContent = `Row ${found + 1}`;
    return;
  }
  const around = await port.request('problemRow', { from: back ? (progress?.scanned ?? 0) : -1, back, id });
  if (around !== null) await rows.go(around);
  status.textContent =
    around === null ? 'No row has a problem.' : `Row ${around + 1}, from the ${back ? 'end' : 'start'} again`;
}

function problem(back: boolean, id: string | null): void {
  run(findProblem(back, id));
}

addEventListener('keydown', (event) => {
  if (event.key !== 'F8') return;
  event.preventDefault();
  problem(event.shiftKey, null);
});

/** A drop-down list whose choice is `value`. */
function dropdown(
  label: string,
  options: readonly (readonly [value: string, text: string])[],
  value: string,
  choose: (value: string) => void,
): HTMLElement {
  const element = el<Field>(
    'vscode-dropdown',
    { 'aria-label': label, on: { change: () => choose(element.value) } },
    options.map(([id, text]) => el('vscode-option', { value: id, selected: id === value }, text)),
  );
  return element;
}

function drawState(): void {
  if (state === undefined) return;
  const { settings, models, name } = state;
  title.textContent = name;
  if (document.activeElement !== maxField) maxField.value = String(settings.max_length);
  fill(
    modelSlot,
    el('label', {}, 'Model'),
    models.length === 0
      ? el('span', { class: 'warn' }, 'none found')
      : dropdown(
          'Model',
          models.map((model) => [model.path, model.name] as const),
          settings.model ?? '',
          (model) => set({ model }),
        ),
  );
  const templates: [string, string][] = [
    ['', 'its own'],
    ...(settings.template === null
      ? []
      : ([['.', settings.templateName || 'another']] as [string, string][])),
    ['…', 'From a file…'],
  ];
  fill(
    templateSlot,
    el('label', {}, 'Template'),
    dropdown('Chat template', templates, settings.template === null ? '' : '.', (value) => {
      if (value === '…') run(port.request('chooseTemplate', undefined));
      else if (value === '') set({ template: null, templateName: '' });
    }),
  );
  fill(
    trainSlot,
    el('label', {}, 'Train on'),
    dropdown(
      'Train on',
      [
        ['completions', 'answers'],
        ['all', 'everything'],
      ],
      settings.train_on,
      (value) => set({ train_on: value as LensSettings['train_on'] }),
    ),
  );
}

function drawRow(): void {
  const row = current;
  const line = (swatch: string, label: string, value: Node | string) =>
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
  const number = (value: number | undefined): string =>
    row === undefined || row.tokens === 0 ? '–' : integer(value ?? 0);
  fill(
    rowSection,
    el(
      'h2',
      {},
      'This row ',
      el(
        'span',
        { class: 'aside' },
        row === undefined || row.tokens === 0 ? '' : `${integer(row.tokens)} tokens`,
      ),
    ),
    el(
      'table',
      { class: 'lw-rows ln-rows' },
      el(
        'tbody',
        {},
        line('trained', 'Trained', number(row?.trained)),
        line('masked', 'Masked', number(row?.masked)),
        line('cut', 'Cut by max_length', number(row?.cut)),
        line(
          `eos ${end === 'cut' ? 'cut' : end === 'trained' ? 'trained' : 'masked'}`,
          'End of answer (EOS)',
          end === 'none'
            ? row !== undefined && row.tokens > 0
              ? el('span', { class: 'warn' }, 'none')
              : '–'
            : end === 'cut'
              ? el('span', { class: 'err' }, 'cut')
              : end,
        ),
      ),
    ),
  );
}

/** The open table of the chart outlives a redraw only if the chart is not drawn anew for nothing. */
let chartKey = '';

function drawAll(): void {
  if (progress === undefined || state === undefined) return;
  const { histogram, scanned, done, longest } = progress;
  const { max_length: max } = state.settings;
  total.textContent = `of ${integer(progress.rows)}${progress.complete ? '' : '+'}`;
  const key = JSON.stringify([histogram, max, scanned, done, progress.longer]);
  if (key === chartKey) return;
  chartKey = key;
  const { width } = histogram;
  const bars = histogram.rows.length;
  const every = Math.max(1, Math.ceil(bars / 5));
  const cut = max / width;
  const share = progress.tokens === 0 ? 0 : Math.round((100 * progress.trained) / progress.tokens);
  const name = (i: number): string => `${integer(i * width + 1)}–${integer((i + 1) * width)}`;
  const row = (label: string, value: string, unit: string) =>
    el('tr', {}, el('th', { scope: 'row' }, label), el('td', {}, quantity(value, unit)));
  const dropped = state.settings.truncation === 'drop';
  fill(
    allSection,
    el(
      'h2',
      {},
      'All rows ',
      el(
        'span',
        { class: 'aside', role: 'status' },
        done
          ? integer(scanned)
          : [
              el('vscode-progress-ring', { 'aria-label': 'Reading' }),
              `${integer(scanned)} of ${integer(progress.rows)}${progress.complete ? '' : '+'}`,
            ],
      ),
    ),
    barChart({
      label: `Rows by length: most have ${integer(progress.median)} tokens or fewer, the longest ${integer(longest)}; ${integer(progress.longer)} are longer than ${integer(max)}.`,
      values: histogram.rows,
      names: histogram.rows.map((_, i) => (i % every === 0 ? integer(i * width) : '')),
      rows: histogram.rows.map((_, i) => name(i)),
      mark: (i) => (i * width >= max ? 'over' : ''),
      ...(cut < bars
        ? {
            cut: {
              at: cut,
              text: `max_length ${integer(max)}`,
              side: cut > bars / 2 ? ('left' as const) : ('right' as const),
            },
          }
        : {}),
      axis: 'tokens',
      columns: ['Tokens', 'Rows'],
      format: (value) => (value >= 10_000 ? `${Math.round(value / 1000)}k` : integer(value)),
    }),
    el(
      'table',
      { class: 'lw-rows', style: { 'margin-top': '6px' } },
      el(
        'tbody',
        {},
        row(
          'Median, 95 %, longest',
          [progress.median, progress.p95, longest].map(integer).join(', '),
          'tokens',
        ),
        row('Trained', count(progress.trained), `tokens, ${share} %`),
        row(
          dropped ? 'Dropped' : `Longer than ${integer(max)}`,
          integer(progress.longer),
          `rows, ${scanned === 0 ? '0' : ((100 * progress.longer) / scanned).toFixed(1)} %`,
        ),
      ),
    ),
  );
}

function drawProblems(): void {
  if (progress === undefined || state === undefined) return;
  const { problems, fine, notes } = progress;
  const marks = { error: 'error', warning: 'warning', info: 'info' } as const;
  const { recipe, recipes } = state;
  fill(
    problemSection,
    el('h2', {}, 'Problems ', problems.length === 0 ? null : el('vscode-badge', {}, problems.length)),
    el(
      'ul',
      { class: 'lw-problems' },
      problems.map(({ id, severity, message, remedies }) =>
        el(
          'li',
          { class: severity },
          icon(marks[severity], '', severity),
          el(
            'div',
            {},
            prose(message),
            el(
              'div',
              { class: 'fix small' },
              remedies.map((remedy) => action(remedy.label, () => apply(remedy))),
              action('Show rows', () => problem(false, id), { 'aria-label': `Show rows: ${message}` }),
            ),
          ),
        ),
      ),
    ),
    fine.length === 0
      ? null
      : el(
          'p',
          { class: 'small muted lw-line ln-fine' },
          icon('check', 'okc'),
          el('span', {}, fine.join(' ')),
        ),
    notes.map((note) =>
      el('p', { class: 'small muted lw-line ln-fine' }, icon('info'), el('span', {}, note)),
    ),
    el(
      'div',
      { class: 'ln-into small' },
      recipes.length === 0
        ? el(
            'span',
            { class: 'muted' },
            'No recipe names this file: settings apply here alone. ',
            action('New fine-tune', () => run(port.request('command', { command: 'newFineTune' }))),
          )
        : [
            el('span', { class: 'muted' }, 'Remedies go into'),
            dropdown(
              'Recipe that remedies are written to',
              [
                ...recipes.map(({ path, name }) => [path, name] as const),
                ['', 'no recipe, only here'] as const,
              ],
              recipe ?? '',
              (path) => run(port.request('setRecipe', { path: path === '' ? null : path })),
            ),
          ],
    ),
  );
}

function apply(remedy: LensProgress['problems'][number]['remedies'][number]): void {
  run(
    port.request('remedy', remedy).then(({ written }) => {
      status.textContent =
        written === null ? `${remedy.label}: applied here.` : `${remedy.label}: written to ${written}.`;
    }),
  );
}

let problemsKey = '';
function update(): void {
  drawAll();
  const key = JSON.stringify([
    progress?.problems.map(({ id, message, remedies }) => [id, message, remedies]),
    progress?.fine,
    progress?.notes,
    state?.recipe,
    state?.recipes,
  ]);
  if (key !== problemsKey) {
    problemsKey = key;
    drawProblems();
  }
}

port.on('state', (next) => {
  const before = JSON.stringify([state?.settings, state?.models, state?.name]);
  state = next;
  if (JSON.stringify([next.settings, next.models, next.name]) !== before) drawState();
  update();
});
port.on('progress', (next) => {
  progress = next;
  rows.total = next.rows;
  update();
});
let started = false;
port.on('stale', () => {
  failed.hidden = true;
  const kept = port.state?.row ?? 0;
  if (!started && kept > 0) void rows.go(kept);
  else void rows.refresh();
  started = true;
});
port.on('failed', (report) => {
  failed.hidden = false;
  fill(
    failed,
    el(
      'p',
      { class: 'lw-line' },
      icon('error', 'err', 'Problem'),
      el('span', {}, report.message, ' ', el('span', { class: 'muted' }, report.remedy)),
    ),
  );
});
drawRow();
port.ready();
