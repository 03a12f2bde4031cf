// The form of a recipe. It is told what stands in the recipe and what it would take to run it, and asks for edits.
// Longer than 400 lines: its parts (memory, method, sheet, map) are files of their own; what is left is the page and who tells whom.
import '../shared/workbench.css';
import './configure.css';
import type {
  ConfigureContract,
  ConfigureState,
  DatasetFacts,
  FormProblem,
  MemoryForecast,
  Pick,
  RecipeEdit,
} from '../../src/protocol/panels/configure';
import { action, button, type Child, el, fill, icon } from '../shared/dom';
import { bytesText, count, integer } from '../shared/format';
import { dropdown } from '../shared/forms';
import { openPage } from '../shared/page';
import { connect, RequestFailure } from '../shared/port';
import { readText, showValue } from '../shared/settingText';
import { Slot } from '../shared/slot';
import { CoverageMap, noMap } from './coverage';
import { DevicePicker } from './device';
import { drawFoot, drawMemory, drawNeeds, drawProblems, isOver, startButton, verdictText } from './memory';
import { Method } from './method';
import { Sheet } from './sheet';

const port = connect<ConfigureContract, { advanced: boolean }>();
const main = openPage('Recipe');
const other = '\u0000other';

let state: ConfigureState | undefined;
let forecast: MemoryForecast | null = null;
let forecastError: string | null = null;
let data: DatasetFacts | null = null;
let dataError: string | null = null;

const failure = el('div', { class: 'lw-note', role: 'alert', hidden: true });
function ask(request: Promise<unknown>): void {
  request.then(
    () => {
      failure.hidden = true;
    },
    (cause: unknown) => {
      failure.hidden = false;
      const { message, remedy } =
        cause instanceof RequestFailure ? cause.report : { message: String(cause), remedy: '' };
      fill(failure, icon('error', 'err'), el('span', {}, `${message.split('\n')[0]} ${remedy}`));
    },
  );
}
const edit = (edits: readonly RecipeEdit[]): void => {
  if (edits.length > 0) ask(port.request('edit', { edits }));
};

// The page, once; what changes is filled in below.
const title = el('h1', {}, 'Fine-tune');
const file = el('span', { class: 'mono' });
const picker = (
  label: string,
  key: 'model' | 'dataset',
): { list: ReturnType<typeof dropdown>; found: HTMLElement; element: HTMLElement } => {
  const list = dropdown(
    label,
    (value) => {
      if (value !== other) edit([{ key, value }]);
      else
        port.request('browse', { what: key }).then(
          () => showPickers(),
          () => showPickers(),
        );
    },
    { id: `f-${key}` },
  );
  const found = el('div', { class: 'found' });
  return {
    list,
    found,
    element: el('div', { class: 'f' }, el('label', { for: `f-${key}` }, label), list.element, found),
  };
};
const model = picker('Model', 'model');
const dataset = picker('Dataset', 'dataset');
const method = new Method(edit);
const sheet = new Sheet(edit, (edits) => void port.request('preview', { edits }).catch(() => undefined));
const derived = el('p', { class: 'cf-derived' });
const map = new CoverageMap((target) => ask(port.request('toggle', target)));
const cover = el('span', { class: 'aside' });
const mapPlace = el('div', {});
const targets = targetField();
const device = new DevicePicker((value) => edit([{ key: 'device', value }]));
const memoryPlace = el('div', {});
const verdictSaid = el('div', { class: 'said', role: 'status' });
const needs = el('section', { 'aria-label': 'What the run takes' });
const problems = el('section', { 'aria-labelledby': 'h-problems' });
const startPlace = new Slot(el('div', { class: 'cf-start' }));
const foot = el('div', { class: 'lw-foot' });
const targetLinks = el('span', { class: 'end small' });

fill(
  main,
  el(
    'div',
    { class: 'lw-page lw-two' },
    el(
      'div',
      { class: 'lw-col' },
      el(
        'header',
        { class: 'lw-head' },
        el('div', { class: 'grow' }, title, el('p', { class: 'muted small' }, file)),
        el(
          'div',
          { class: 'lw-actions' },
          button('Open as text', () => ask(port.request('openAsText', { line: null })), {
            icon: 'go-to-file',
          }),
        ),
      ),
      failure,
      el(
        'section',
        { 'aria-labelledby': 'h-data' },
        el('h2', { id: 'h-data' }, 'Model and data'),
        el('div', { class: 'cf-pick' }, model.element, dataset.element),
      ),
      el(
        'section',
        { 'aria-labelledby': 'h-method' },
        el('h2', { id: 'h-method' }, 'Method'),
        method.presets,
        method.trade,
        method.axes,
      ),
      el(
        'section',
        { 'aria-labelledby': 'h-hyper' },
        el('h2', { id: 'h-hyper' }, 'Hyperparameters'),
        sheet.main,
        derived,
        sheet.advanced,
      ),
      el(
        'section',
        { 'aria-labelledby': 'h-map' },
        el('h2', { id: 'h-map' }, el('span', {}, 'Target modules'), cover, targetLinks),
        mapPlace,
        targets.element,
      ),
    ),
    el(
      'aside',
      { class: 'lw-rail', 'aria-label': 'Forecast' },
      el('section', { id: 'start', class: 'cf-first', 'aria-label': 'Start' }, startPlace.element),
      el(
        'section',
        { 'aria-labelledby': 'h-memory' },
        el('h2', { id: 'h-memory' }, 'Memory ', el('span', { class: 'end cf-device' }, device.element)),
        device.facts,
        memoryPlace,
        verdictSaid,
      ),
      needs,
      problems,
    ),
  ),
  foot,
);

/** `target_modules` as text: what the map cannot say, such as a regular expression. */
function targetField(): { element: HTMLElement; show(): void } {
  const field = el<HTMLElement & { value: string }>('vscode-text-field', {
    id: 'f-target_modules',
    'aria-label': 'target_modules',
    on: {
      change: () => {
        const described = state?.form.fields.find((one) => one.field.key === 'target_modules');
        if (described === undefined || field.value === showValue(described.value)) return;
        const read = readText(described.field, field.value);
        if (!('error' in read)) edit([{ key: 'target_modules', value: read.value }]);
      },
    },
  });
  return {
    element: el(
      'div',
      { class: 'lw-prop cf-targets' },
      el('label', { for: 'f-target_modules' }, 'target_modules'),
      field,
    ),
    show() {
      const described = state?.form.fields.find((one) => one.field.key === 'target_modules');
      const text = showValue(described?.value);
      if (document.activeElement !== field && field.value !== text) field.value = text;
      field.toggleAttribute('disabled', state?.form.readable === false || described?.off === true);
    },
  };
}

function settingOf(key: string): unknown {
  return state?.form.fields.find(({ field }) => field.key === key)?.value;
}

function allProblems(): FormProblem[] {
  return [...(state?.form.problems ?? []), ...(data?.problems ?? [])];
}

function showPickers(): void {
  if (state === undefined) return;
  const options = (picks: readonly Pick[], none: string) => [
    ...picks.map(({ path, label, detail }) => ({ value: path, text: label, title: detail })),
    { value: other, text: none },
  ];
  const chosen = settingOf('model');
  model.list.show(options(state.models, 'Choose a folder…'), typeof chosen === 'string' ? chosen : '');
  const set = settingOf('dataset');
  const text = typeof set === 'string' ? set : showValue(set as never);
  dataset.list.show(options(state.datasets, 'Choose a file…'), text);
  const line = (mark: 'check' | 'error' | 'warning', ...words: Child[]): HTMLElement =>
    el(
      'div',
      { class: 'lw-line' },
      icon(mark, mark === 'check' ? 'okc' : mark === 'error' ? 'err' : 'warn'),
      el('span', {}, words),
    );
  const facts = state.model;
  fill(
    model.found,
    facts !== null
      ? [
          el(
            'div',
            {},
            `${facts.modelType}, ${count(facts.parameters)} parameters, ${facts.dtypes}, ${bytesText(facts.bytes)}`,
          ),
          line(
            'check',
            `${facts.layers} layers; ${facts.chatTemplate ? 'chat template found' : 'no chat template'}`,
          ),
        ]
      : state.modelProblem !== null
        ? line('error', state.modelProblem)
        : el(
            'div',
            {},
            typeof chosen === 'string' && chosen !== ''
              ? 'Not looked at while the recipe has mistakes.'
              : 'A Hugging Face folder: config.json, safetensors, tokenizer.json.',
          ),
  );
  const look = action('Look at the tokens', () => ask(port.request('lens', {})));
  fill(
    dataset.found,
    dataError !== null
      ? line('error', dataError.split('\n')[0])
      : data === null
        ? el(
            'div',
            {},
            text === ''
              ? 'JSONL, JSON, CSV, Parquet or text.'
              : 'Counting rows and tokens once the recipe is whole.',
          )
        : [
            el(
              'div',
              {},
              `${integer(data.rows)} rows, ${data.columns === '' ? data.shape.replaceAll('-', ' and ') : data.columns}`,
            ),
            line(
              'check',
              `median ${integer(data.medianTokens)} tokens, longest ${integer(data.longestTokens)}\u2002`,
              look,
            ),
          ],
  );
}

function showState(next: ConfigureState): void {
  state = next;
  title.textContent = next.name;
  file.textContent = next.file;
  showPickers();
  method.show(next);
  sheet.show(next);
  targets.show();
  device.showField(
    next.form.fields.find(({ field }) => field.key === 'device'),
    next.form.readable,
  );
  if (next.coverage === null) {
    fill(mapPlace, noMap(next.modelProblem, next.model !== null));
    cover.textContent = '';
  } else {
    map.show(next.coverage);
    if (mapPlace.firstChild !== map.element) fill(mapPlace, map.element);
    cover.textContent = CoverageMap.summary(next.coverage);
  }
  const names = next.coverage?.rows.map(({ name }) => name) ?? [];
  const attention = names.filter((name) => /attn|^[qkvo]_proj$/.test(name));
  const queryValue = names.filter((name) => /^(q|v)_proj$/.test(name));
  const shortcut = (label: string, value: string | string[]): Child =>
    value.length === 0
      ? null
      : [
          '\u2002',
          action(label, () =>
            edit([
              { key: 'target_modules', value },
              ...(settingOf('exclude_modules') == null ? [] : [{ key: 'exclude_modules' }]),
              ...(settingOf('layers_to_transform') == null ? [] : [{ key: 'layers_to_transform' }]),
            ]),
          ),
        ];
  fill(
    targetLinks,
    next.coverage === null || next.coverage.full
      ? null
      : [
          shortcut('all-linear', 'all-linear'),
          shortcut('attention', attention),
          shortcut('q, v only', queryValue),
        ],
  );
  showRail();
}

function showDerived(): void {
  const batch =
    Number(settingOf('per_device_train_batch_size')) * Number(settingOf('gradient_accumulation_steps'));
  const parts = [Number.isFinite(batch) ? `Effective batch ${integer(batch)}` : ''];
  if (data !== null) {
    parts.push(
      `${integer(data.examples)} rows train${data.evalExamples > 0 ? `, ${integer(data.evalExamples)} are held out` : ''}`,
    );
    if (data.stepsPerEpoch !== null) parts.push(`${integer(data.stepsPerEpoch)} steps an epoch`);
    const warmup =
      Number(settingOf('warmup_steps')) || Math.round(Number(settingOf('warmup_ratio')) * (data.steps ?? 0));
    if (warmup > 0) parts.push(`${integer(warmup)} of warm-up`);
  }
  derived.textContent = `${parts.filter(Boolean).join('; ')}.`;
}

/** What the memory's part of the page shows. */
let drawn: readonly unknown[] = [];
function showMemory(shown: MemoryForecast, within: ConfigureState): void {
  if (drawn[0] === shown && drawn[1] === within) return;
  drawn = [shown, within];
  drawMemory(memoryPlace, shown, within, edit);
}

function showRail(): void {
  if (state === undefined) return;
  const errors = allProblems().some(({ severity }) => severity === 'error');
  const over = forecast !== null && isOver(forecast);
  const reason = !state.trusted
    ? 'This folder is in Restricted Mode: nothing is started until you trust it.'
    : errors
      ? 'Mend the problems first.'
      : over
        ? 'Does not fit yet.'
        : '';
  const run = (): void => start(false);
  const make = (): HTMLElement => startButton(run, reason !== '', reason || 'Ctrl+Enter');
  const { running, lastRun, trusted } = state;
  startPlace.show([reason, over, errors, trusted, running, lastRun], () => [
    make(),
    reason !== '' && reason !== undefined
      ? el(
          'span',
          { class: 'small muted' },
          `${reason} `,
          over && !errors && trusted ? action('Start anyway', () => start(true)) : null,
        )
      : running !== null
        ? el('span', { class: 'small muted' }, `${running} runs now; this one waits for it.`)
        : lastRun !== null
          ? el(
              'span',
              { class: 'small muted' },
              'Last run: ',
              action(
                lastRun.evalLoss === null
                  ? `${lastRun.name}, ${lastRun.state}`
                  : `eval ${lastRun.evalLoss.toFixed(3)}`,
                () => ask(port.request('openRun', { id: lastRun.id })),
              ),
            )
          : el('span', { class: 'small muted' }, el('kbd', {}, 'Ctrl+Enter')),
  ]);
  if (forecast !== null) showMemory(forecast, state);
  else {
    drawn = [];
    fill(
      memoryPlace,
      el(
        'p',
        { class: `cf-wait muted${errors || state.model === null ? ' short' : ''}` },
        forecastError !== null
          ? [icon('error', 'err'), el('span', {}, forecastError)]
          : errors || !state.form.readable || state.model === null
            ? 'The forecast needs a recipe without mistakes.'
            : [
                el('vscode-progress-ring', { 'aria-label': 'Forecasting' }),
                'Planning the programs of the largest batch',
              ],
      ),
    );
  }
  drawNeeds(needs, data, forecast, state);
  drawProblems(problems, allProblems(), {
    apply: edit,
    jump,
    text: (line) => ask(port.request('openAsText', { line })),
    lens: () => ask(port.request('lens', {})),
  });
  drawFoot(foot, forecast, data, allProblems(), make());
  showDerived();
}

function jump({ key }: FormProblem): void {
  if (key === null || sheet.focus(key)) return;
  const control = document.getElementById(`f-${key}`);
  control?.scrollIntoView({ block: 'center' });
  control?.focus();
}

let starting = false;
function start(anyway: boolean): void {
  if (starting || state === undefined) return;
  const blocked =
    allProblems().some(({ severity }) => severity === 'error') ||
    (!anyway && forecast !== null && isOver(forecast));
  if (blocked) return;
  starting = true;
  // Whatever is being typed counts.
  (document.activeElement as HTMLElement | null)?.blur();
  const request = port.request('start', { anyway });
  request
    .finally(() => {
      starting = false;
    })
    .catch(() => undefined);
  ask(request);
}

document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    start(false);
  } else if (event.key === 'F8') {
    const rows = [...problems.querySelectorAll<HTMLElement>('button.message')];
    if (rows.length === 0) return;
    event.preventDefault();
    const at = rows.indexOf(document.activeElement as HTMLElement);
    rows[(at + (event.shiftKey ? -1 : 1) + rows.length) % rows.length]?.focus();
  }
});
sheet.advanced.toggleAttribute('open', port.state?.advanced === true);
sheet.advanced.addEventListener('toggle', () => port.keep({ advanced: sheet.advanced.hasAttribute('open') }));

/** What is not the forecast is drawn once that is on the screen. */
let due: { state: ConfigureState | undefined } | undefined;
function drawLater(next?: ConfigureState): void {
  const waits = due !== undefined;
  due = { state: next ?? due?.state };
  if (waits) return;
  const draw = (): void => {
    const now = due;
    due = undefined;
    if (now?.state !== undefined) showState(now.state);
    else showRail();
  };
  if (document.hidden) setTimeout(draw);
  else requestAnimationFrame(() => setTimeout(draw));
}

port.on('state', (next) => {
  if (state === undefined) showState(next);
  else drawLater(next);
});
let saidTimer: ReturnType<typeof setTimeout> | undefined;
port.on('forecast', (next) => {
  forecastError = 'error' in next ? next.error : null;
  forecast = 'error' in next ? null : next;
  if (forecast !== null && state !== undefined) showMemory(forecast, state);
  drawLater();
  // Screen readers hear the verdict once it has settled.
  clearTimeout(saidTimer);
  saidTimer = setTimeout(() => {
    const text = forecast === null ? '' : verdictText(forecast);
    if (verdictSaid.textContent !== text) verdictSaid.textContent = text;
  }, 600);
});
port.on('dataset', (next) => {
  dataError = next !== null && 'error' in next ? next.error : null;
  data = next === null || 'error' in next ? null : next;
  showPickers();
  showRail();
});
port.on('devices', (devices) => device.showDevices(devices));
port.on('focus', ({ key }) => jump({ key } as FormProblem));
port.on('startRequested', () => start(false));
port.ready();
