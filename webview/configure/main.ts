// The form of a recipe. It is told what stands in the recipe and what it would take to run it, and asks for edits. Each part of
// the page is drawn by a file of its own; this one holds what is known and who is told of it.
import '../shared/workbench.css';
import './configure.css';
import type {
  ConfigureContract,
  ConfigureState,
  DatasetFacts,
  FormProblem,
  MemoryForecast,
  RecipeEdit,
} from '../../src/protocol/panels/configure';
import { button, el, fill, icon } from '../shared/dom';
import { integer } from '../shared/format';
import { openPage } from '../shared/page';
import { connect, RequestFailure } from '../shared/port';
import { Slot } from '../shared/slot';
import { plural, t } from '../shared/texts';
import { CoverageMap, noMap } from './coverage';
import { DevicePicker } from './device';
import { drawFoot, drawMemory, drawNeeds } from './memory';
import { Method } from './method';
import { Pickers } from './pickers';
import { drawProblems } from './problems';
import { Sheet } from './sheet';
import { startButton, startNote, startReason } from './start';
import { Targets } from './targets';
import { isOver, verdictText } from './verdict';

const port = connect<ConfigureContract, { advanced: boolean }>();
const main = openPage(t('Recipe'));

let state: ConfigureState | undefined;
let forecast: MemoryForecast | null = null;
let forecastError: string | null = null;
let data: DatasetFacts | null = null;
let dataError: { error: string; remedy: string | null } | null = null;

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
const title = el('h1', {}, t('Fine-tune'));
const file = el('span', { class: 'mono' });
const lens = (): void => ask(port.request('lens', {}));
const pickers = new Pickers({
  edit,
  browse: (what) =>
    port.request('browse', { what }).then(
      () => undefined,
      () => undefined,
    ),
  lens,
});
const method = new Method(edit);
const sheet = new Sheet(edit, (edits) => void port.request('preview', { edits }).catch(() => undefined));
const derived = el('p', { class: 'cf-derived' });
const map = new CoverageMap((target) => ask(port.request('toggle', target)));
const cover = el('span', { class: 'aside' });
const mapPlace = el('div', {});
const targets = new Targets(edit);
const device = new DevicePicker((value) => edit([{ key: 'device', value }]));
const memoryPlace = el('div', {});
const verdictSaid = el('div', { class: 'said', role: 'status' });
const needs = el('section', { 'aria-label': t('What the run takes') });
const problems = el('section', { 'aria-labelledby': 'h-problems' });
const startPlace = new Slot(el('div', { class: 'cf-start' }));
const foot = el('div', { class: 'lw-foot' });

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
          button(t('Open as text'), () => ask(port.request('openAsText', { line: null })), {
            icon: 'go-to-file',
          }),
        ),
      ),
      failure,
      el(
        'section',
        { 'aria-labelledby': 'h-data' },
        el('h2', { id: 'h-data' }, t('Model and data')),
        pickers.element,
      ),
      el(
        'section',
        { 'aria-labelledby': 'h-method' },
        el('h2', { id: 'h-method' }, t('Method')),
        method.presets,
        method.trade,
        method.axes,
      ),
      el(
        'section',
        { 'aria-labelledby': 'h-hyper' },
        el('h2', { id: 'h-hyper' }, t('Hyperparameters')),
        sheet.main,
        derived,
        sheet.advanced,
      ),
      el(
        'section',
        { 'aria-labelledby': 'h-map' },
        el('h2', { id: 'h-map' }, el('span', {}, t('Target modules')), cover, targets.links),
        mapPlace,
        targets.element,
      ),
    ),
    el(
      'aside',
      { class: 'lw-rail', 'aria-label': t('Forecast') },
      el('section', { id: 'start', class: 'cf-first', 'aria-label': t('Start') }, startPlace.element),
      el(
        'section',
        { 'aria-labelledby': 'h-memory' },
        el(
          'h2',
          { id: 'h-memory' },
          t('Memory'),
          ' ',
          el('span', { class: 'end cf-device' }, device.element),
        ),
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

function settingOf(key: string): unknown {
  return state?.form.fields.find(({ field }) => field.key === key)?.value;
}

function allProblems(): FormProblem[] {
  const told: FormProblem[] =
    dataError === null
      ? []
      : [
          {
            severity: 'error',
            key: 'dataset',
            line: null,
            message: dataError.error,
            remedy: dataError.remedy,
            fixes: [],
          },
        ];
  return [...(state?.form.problems ?? []), ...told, ...(data?.problems ?? [])];
}

function showPickers(): void {
  if (state !== undefined) pickers.show(state, { facts: data, error: dataError?.error ?? null });
}

function showState(next: ConfigureState): void {
  state = next;
  title.textContent = next.name;
  file.textContent = next.file;
  showPickers();
  method.show(next);
  sheet.show(next);
  targets.show(next);
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
  showRail();
}

function showDerived(): void {
  const number = (key: string): number => Number(settingOf(key));
  const batch = number('per_device_train_batch_size') * number('gradient_accumulation_steps');
  const parts = [Number.isFinite(batch) ? t('Effective batch {0}', integer(batch)) : ''];
  if (data !== null) {
    const { examples, evalExamples, stepsPerEpoch, steps } = data;
    const held = evalExamples > 0 ? `, ${t('{0} are held out', integer(evalExamples))}` : '';
    parts.push(`${plural(examples, '1 row trains', '{0} rows train')}${held}`);
    if (stepsPerEpoch !== null) parts.push(plural(stepsPerEpoch, '1 step an epoch', '{0} steps an epoch'));
    const warmup = number('warmup_steps') || Math.round(number('warmup_ratio') * (steps ?? 0));
    if (warmup > 0) parts.push(t('{0} of warm-up', integer(warmup)));
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
  const now = state;
  const errors = allProblems().some(({ severity }) => severity === 'error');
  const over = forecast !== null && isOver(forecast);
  const reason = startReason(now, { errors, over });
  const make = (): HTMLElement => startButton(() => start(false), reason);
  startPlace.show([reason, over, errors, now.trusted, now.running, now.lastRun], () => [
    make(),
    startNote(now, reason, {
      anyway: over && !errors && now.trusted ? () => start(true) : undefined,
      openRun: (id) => ask(port.request('openRun', { id })),
    }),
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
            ? t('The forecast needs a recipe without mistakes.')
            : [
                el('vscode-progress-ring', { 'aria-label': t('Forecasting') }),
                t('Planning the programs of the largest batch'),
              ],
      ),
    );
  }
  drawNeeds(needs, data, forecast, state);
  drawProblems(problems, allProblems(), {
    apply: edit,
    jump,
    text: (line) => ask(port.request('openAsText', { line })),
    lens,
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
  dataError = next !== null && 'error' in next ? next : null;
  data = next === null || 'error' in next ? null : next;
  showPickers();
  showRail();
});
port.on('devices', (devices) => device.showDevices(devices));
port.on('focus', ({ key }) => jump({ key } as FormProblem));
port.on('startRequested', () => start(false));
port.ready();
