// The page of a run: figures, charts, samples, log and recipe. It draws what the run's log tells, at most once a frame.
// Longer than 400 lines: head, charts, samples and tables are files of their own; what is left is the page and who tells whom.
import '../shared/workbench.css';
import './run.css';
import type { RunContract, RunRemedy, RunView } from '../../src/protocol/panels/run';
import { action, button, type Child, el, fill, icon, quantity } from '../shared/dom';
import { bytes, clock, count, duration, integer, loss as lossText } from '../shared/format';
import { openPage } from '../shared/page';
import { connect } from '../shared/port';
import { Slot } from '../shared/slot';
import { onThemeChange } from '../shared/theme';
import { looks, newest, RunCharts, type Shown } from './charts';
import { deviceUse } from './device';
import { devicePeak } from './deviceLine';
import { EventList } from './events';
import { drawHead, isLive } from './head';
import { RunHistory } from './history';
import { drawModules } from './modules';
import { drawSamples } from './samples';
import { lossTable } from './table';

interface Kept {
  tab: string;
  log: boolean;
  off: string[];
  /** Ids of the run and of those it is compared with: what the page is brought back with after a reload. */
  runs: string[];
}

const port = connect<RunContract, Kept>();
const main = openPage('Run');
const kept: Kept = { tab: 'charts', log: false, off: [], runs: [], ...port.state };
const hidden = new Set<string>();
const histories = new Map<string, RunHistory>();
let view: RunView | undefined;
let compared: readonly string[] = [];
let recipe: string | undefined;
let lastHeard = Date.now();

const command = (name: string, ...args: unknown[]): void =>
  void port.request('command', { command: name, args }).catch(() => undefined);

const mend = ({ edits }: RunRemedy): void => void port.request('mend', { edits }).catch(() => undefined);

const head = el('div', {});
const stats = el('dl', { class: 'rn-stats' });
const series = el('span', { class: 'rn-legend', role: 'group', 'aria-label': 'Series' });
const canvas = (label: string): HTMLCanvasElement =>
  el<HTMLCanvasElement>('canvas', { role: 'img', 'aria-label': label });
const canvases = {
  loss: canvas('Loss by step'),
  rate: canvas('Learning rate by step'),
  norm: canvas('Gradient norm by step'),
  speed: canvas('Tokens per second by step'),
};
const logBox = el<HTMLElement & { checked: boolean }>(
  'vscode-checkbox',
  {
    'aria-label': 'Log scale',
    checked: kept.log,
    on: {
      change: () => {
        kept.log = logBox.checked;
        keep();
        redraw();
      },
    },
  },
  'Log scale',
);
const tablePlace = el('div', { class: 'rn-table', role: 'region', 'aria-label': 'Steps', tabindex: 0 });
const table = el(
  'details',
  { on: { toggle: () => redraw() } },
  el('summary', {}, icon('chevron-right', 'tw'), 'Show as table'),
  tablePlace,
);
const smallHead = {
  rate: el('span', { class: 'num' }),
  norm: el('span', { class: 'num' }),
  speed: el('span', { class: 'num' }),
};
const memory = el('section', { 'aria-label': 'Memory' });
const modules = el('section', { 'aria-label': 'Modules', hidden: true });
const newestEvents = new EventList(12);
const events = el('section', { 'aria-label': 'Events' }, el('h2', {}, 'Events'), newestEvents.element);
const empty = el('p', { class: 'muted rn-empty' });
const small = (name: string, value: HTMLElement, chart: HTMLCanvasElement): HTMLElement =>
  el('div', {}, el('h3', {}, name, value), el('div', { class: 'lw-chart small' }, chart));

const charts = el(
  'div',
  { class: 'rn-body' },
  el(
    'div',
    {},
    el(
      'div',
      { class: 'rn-tools' },
      series,
      el(
        'span',
        { class: 'end' },
        logBox,
        action('PNG', () => save('png'), {
          title: 'Save the chart as a picture',
          'aria-label': 'Save the chart as PNG',
        }),
        action('CSV', () => save('csv'), {
          title: 'Save the numbers as a table',
          'aria-label': 'Save the numbers as CSV',
        }),
      ),
    ),
    el('div', { class: 'lw-chart rn-loss' }, canvases.loss, empty),
    el(
      'div',
      { class: 'rn-multi' },
      small('Learning rate', smallHead.rate, canvases.rate),
      small('Gradient norm', smallHead.norm, canvases.norm),
      small('Tokens/s', smallHead.speed, canvases.speed),
    ),
    table,
  ),
  el('aside', { class: 'lw-rail flat', 'aria-label': 'Memory, modules and events' }, memory, modules, events),
);
const samples = el('div', { class: 'rn-samples' });
const allEvents = new EventList(500);
const log = el(
  'div',
  { class: 'rn-log' },
  el(
    'div',
    { class: 'rn-tools' },
    button('Show log', () => command('showLog', view?.id), { icon: 'output' }),
  ),
  allEvents.element,
);
const recipePlace = new Slot(el('div', { class: 'rn-recipe' }));
const panes: Record<string, { label: string; element: HTMLElement }> = {
  charts: { label: 'Charts', element: charts },
  samples: { label: 'Samples', element: samples },
  log: { label: 'Log', element: log },
  recipe: { label: 'Recipe', element: recipePlace.element },
};
const tabs = el('div', { class: 'rn-tabs', role: 'tablist', 'aria-label': 'Run' });
for (const [id, { label, element }] of Object.entries(panes)) {
  element.id = `pane-${id}`;
  element.setAttribute('role', 'tabpanel');
  element.setAttribute('aria-labelledby', `tab-${id}`);
  tabs.append(
    el(
      'button',
      {
        type: 'button',
        class: 'plain',
        role: 'tab',
        id: `tab-${id}`,
        'aria-controls': `pane-${id}`,
        on: { click: () => choose(id) },
      },
      label,
    ),
  );
}
tabs.addEventListener('keydown', (event) => {
  const ids = Object.keys(panes);
  const at = ids.indexOf(kept.tab);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: ids.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  const id = ids[(next + ids.length) % ids.length]!;
  choose(id);
  document.getElementById(`tab-${id}`)?.focus();
});
fill(
  main,
  el(
    'div',
    { class: 'lw-page' },
    head,
    stats,
    tabs,
    Object.values(panes).map(({ element }) => element),
  ),
);
const drawn = new RunCharts(canvases);

function keep(): void {
  if (view !== undefined) kept.runs = [view.id, ...compared];
  port.keep({ ...kept });
}

function choose(id: string): void {
  kept.tab = id in panes ? id : 'charts';
  keep();
  for (const [name, { element }] of Object.entries(panes)) {
    const on = name === kept.tab;
    element.hidden = !on;
    const tab = document.getElementById(`tab-${name}`)!;
    tab.setAttribute('aria-selected', String(on));
    tab.tabIndex = on ? 0 : -1;
  }
  if (kept.tab === 'recipe')
    port.request('recipe', {}).then(
      (text) => {
        recipe = text;
        redraw();
      },
      () => undefined,
    );
  redraw();
}

function history(): RunHistory | undefined {
  return view === undefined ? undefined : histories.get(view.id);
}

/** Whether a drawing is asked for, under way to the screen, and asked for once more meanwhile. */
let asked = false;
let painting = false;
let again = false;
/** When the next drawing may begin. */
let freeAt = 0;
/** Draws with the next frame; where that takes long until it is on the screen, half of the time is left for what comes in. */
function redraw(): void {
  if (painting) again = true;
  if (asked || painting) return;
  asked = true;
  const rest = freeAt - performance.now();
  if (rest > 8) setTimeout(() => requestAnimationFrame(frame), rest);
  else requestAnimationFrame(frame);
}

function frame(start: number): void {
  asked = false;
  painting = true;
  draw();
  requestAnimationFrame(() => {
    const now = performance.now();
    freeAt = now + (now - start);
    painting = false;
    if (again) redraw();
    again = false;
  });
}

function shownSeries(): Shown {
  const on = (name: string): boolean => !kept.off.includes(name);
  return {
    train: on('train'),
    smoothed: on('smoothed'),
    eval: on('eval'),
    log: logBox.checked === true,
    hidden,
  };
}

function draw(): void {
  if (view === undefined) return;
  const own = history() ?? new RunHistory(view.id, view.name);
  const others = compared.flatMap((id) => histories.get(id) ?? []);
  drawHead(head, view, { command, mend, silentMs: Date.now() - lastHeard });
  drawStats(view, own);
  if (kept.tab === 'charts') {
    drawLegend(others);
    // What a run that ended did not do needs no room.
    const planned = isLive(view.state)
      ? axisEnd(view.totalSteps ?? 0, own.lastStep)
      : Math.ceil(1.02 * own.lastStep);
    drawn.draw(own, others, shownSeries(), planned, view.plan?.stepsPerEpoch ?? 0);
    canvases.loss.setAttribute('aria-label', sentence(view, own));
    const last = newest(own);
    fill(smallHead.rate, last.rate);
    fill(smallHead.norm, last.norm);
    fill(smallHead.speed, last.speed);
    empty.hidden = own.step.length > 0 || others.length > 0;
    empty.textContent =
      !histories.has(view.id) && view.folder !== null
        ? 'Reading the log'
        : isLive(view.state)
          ? (view.phase ?? 'Waiting for the first step')
          : 'This run ended before its first step.';
    if (table.hasAttribute('open')) fill(tablePlace, lossTable(own));
    drawMemory(view, own);
    drawModules(modules, own.choices);
    newestEvents.show(own.events);
  } else if (kept.tab === 'samples') drawSamples(samples, own.samples);
  else if (kept.tab === 'log') allEvents.show(own.events);
  else
    recipePlace.show([recipe, view.folder], () => [
      el(
        'div',
        { class: 'rn-tools' },
        view!.folder === null ? null : button('Open recipe', () => openRecipe(), { icon: 'go-to-file' }),
      ),
      recipe === undefined || recipe === ''
        ? el('p', { class: 'muted' }, 'This run keeps no recipe.')
        : el('pre', { class: 'mono', tabindex: 0 }, recipe),
    ]);
}

/** The axis of a live run: all its steps, or so many halves of them that what was done takes a good part of it. */
function axisEnd(total: number, done: number): number {
  let end = total;
  while (end > 100 && end / 2 > 1.5 * done) end /= 2;
  return Math.ceil(end);
}

function openRecipe(): void {
  if (view?.folder)
    void port.request('openFile', { path: `${view.folder}/recipe.yaml` }).catch(() => undefined);
}

function sentence(run: RunView, own: RunHistory): string {
  const evaluation = own.evals.at(-1);
  return `Loss by step: ${integer(own.lastStep)} steps, training loss ${own.smoothed.length === 0 ? 'unknown' : lossText(own.smoothed.at(-1)!)}${evaluation === undefined ? '' : `, evaluation loss ${lossText(evaluation.loss)} at step ${evaluation.step}`}, ${run.state}.`;
}

function stat(label: string, value: Child, sub: string): HTMLElement {
  return el('div', {}, el('dt', {}, label), el('dd', {}, value), el('dd', { class: 'sub' }, sub));
}

function drawStats(run: RunView, own: RunHistory): void {
  const smoothed = own.smoothed.at(-1);
  const evaluation = own.evals.at(-1);
  const live = isLive(run.state);
  const speed = own.tokensPerSecond.slice(-20);
  const mean = speed.length === 0 ? undefined : speed.reduce((sum, one) => sum + one, 0) / speed.length;
  const elapsed =
    run.startedAt === null || run.updatedAt === null
      ? undefined
      : (Date.parse(run.updatedAt) - Date.parse(run.startedAt)) / 1000;
  const tokens = own.tokens.at(-1) ?? 0;
  const peak = measuredPeak(run, own);
  fill(
    stats,
    stat(
      'Train loss',
      smoothed === undefined ? '–' : lossText(smoothed),
      own.loss.length === 0 ? '' : `this step ${lossText(own.loss.at(-1)!)}`,
    ),
    stat(
      'Eval loss',
      evaluation === undefined ? '–' : lossText(evaluation.loss),
      evaluation === undefined
        ? 'not yet'
        : `step ${integer(evaluation.step)}${evaluation.best ? ', best so far' : run.bestEvalLoss === null ? '' : `, best ${lossText(run.bestEvalLoss)}`}`,
    ),
    stat(
      'Speed',
      mean === undefined ? '–' : quantity(integer(mean), 'tokens/s'),
      own.step.length === 0 ? '' : 'mean of 20 steps',
    ),
    live
      ? stat(
          'Left',
          run.etaSeconds === null ? '–' : quantity(...duration(run.etaSeconds)),
          run.etaSeconds === null ? '' : `ends at ${clock(Date.now() + 1000 * run.etaSeconds)}`,
        )
      : stat(
          'Took',
          elapsed === undefined ? '–' : quantity(...duration(elapsed)),
          run.updatedAt === null ? '' : `ended at ${clock(run.updatedAt)}`,
        ),
    stat(
      'Memory peak',
      peak === null ? '–' : quantity(...bytes(peak)),
      run.plan?.predictedPeakBytes == null ? '' : `forecast ${bytes(run.plan.predictedPeakBytes).join(' ')}`,
    ),
    stat('Read', quantity(count(tokens), 'tokens'), run.epoch > 0 ? `epoch ${run.epoch.toFixed(2)}` : ''),
  );
}

/** What the forecast is held against: of a device the most that was taken there, else the process's own peak. */
function measuredPeak(run: RunView, own: RunHistory): number | null {
  return devicePeak(own.device) ?? run.peakMemoryBytes;
}

function drawMemory(run: RunView, own: RunHistory): void {
  const predicted = run.plan?.predictedPeakBytes ?? null;
  const measured = measuredPeak(run, own);
  if (measured === null && predicted === null) {
    fill(memory);
    return;
  }
  const scale = 1.1 * Math.max(measured ?? 0, predicted ?? 0);
  const percent = (value: number): string => `${(100 * value) / scale}%`;
  const row = (label: string, child: Child): HTMLElement =>
    el('tr', {}, el('th', { scope: 'row' }, label), el('td', {}, child));
  const difference = measured !== null && predicted !== null ? 100 * (measured / predicted - 1) : null;
  fill(
    memory,
    el('h2', {}, 'Memory'),
    el(
      'div',
      {
        class: 'rn-meter',
        role: 'img',
        'aria-label': `Measured ${measured === null ? 'nothing yet' : bytes(measured).join(' ')}, forecast ${predicted === null ? 'none' : bytes(predicted).join(' ')}`,
      },
      measured === null ? null : el('div', { class: 'fill', style: { width: percent(measured) } }),
      predicted === null
        ? null
        : el('div', { class: 'tick', style: { left: percent(predicted) } }, el('span', {}, 'forecast')),
    ),
    el(
      'table',
      { class: 'lw-rows' },
      el('caption', { class: 'said' }, 'Memory'),
      el(
        'tbody',
        {},
        predicted === null ? null : row('Forecast', quantity(...bytes(predicted))),
        measured === null ? null : row('Measured peak', quantity(...bytes(measured))),
        difference === null
          ? null
          : row(
              'Difference',
              quantity(
                `${difference > 0 ? '+' : difference < 0 ? '−' : ''}${Math.abs(difference).toFixed(1)}`,
                '%',
              ),
            ),
      ),
    ),
    deviceUse(own.device),
  );
}

let legendKey = '';
function drawLegend(others: readonly RunHistory[]): void {
  const key = JSON.stringify([kept.off, others.map(({ id, name }) => [id, name, hidden.has(id)])]);
  if (key === legendKey) return;
  legendKey = key;
  const at = (document.activeElement as HTMLElement | null)?.dataset?.series;
  const mark = (colour: string, dash: string, width: number): HTMLElement =>
    el('i', {
      class: 'lw-key',
      style: { 'border-color': colour, 'border-top-style': dash, 'border-top-width': `${width}px` },
    });
  const own = (name: string, colour: string, width: number): HTMLElement =>
    el(
      'button',
      {
        type: 'button',
        class: 'rn-series',
        'aria-pressed': String(!kept.off.includes(name)),
        dataset: { series: name },
        on: { click: () => toggle(name) },
      },
      mark(colour, 'solid', width),
      name,
    );
  fill(
    series,
    own('train', 'color-mix(in srgb, var(--vscode-charts-blue) 55%, var(--vscode-editor-background))', 1),
    own('smoothed', 'var(--vscode-charts-blue)', 2),
    own('eval', 'var(--vscode-charts-yellow)', 2),
    others.length === 0 ? null : el('span', { class: 'sep' }),
    others.map(({ id, name }, i) => {
      const look = looks[i % looks.length]!;
      const remove = (): void => void port.request('remove', { id });
      return el(
        'span',
        { class: 'rn-other' },
        el(
          'button',
          {
            type: 'button',
            class: 'rn-series',
            'aria-pressed': String(!hidden.has(id)),
            title: 'Delete removes it',
            dataset: { series: id },
            on: {
              click: () => {
                if (!hidden.delete(id)) hidden.add(id);
                redraw();
              },
              keydown: (event) => {
                if ((event as KeyboardEvent).key === 'Delete') remove();
              },
            },
          },
          mark(`var(--vscode-${look.colour})`, look.css, 2),
          name,
        ),
        el(
          'button',
          { type: 'button', class: 'lw-ib', 'aria-label': `Remove ${name}`, on: { click: remove } },
          icon('close'),
        ),
      );
    }),
    el(
      'button',
      {
        type: 'button',
        class: 'rn-series link',
        on: { click: () => void port.request('compare', {}).catch(() => undefined) },
      },
      icon('add'),
      'Compare',
    ),
  );
  if (at !== undefined) series.querySelector<HTMLElement>(`[data-series="${CSS.escape(at)}"]`)?.focus();
}

function toggle(name: string): void {
  kept.off = kept.off.includes(name) ? kept.off.filter((one) => one !== name) : [...kept.off, name];
  keep();
  redraw();
}

function save(kind: 'png' | 'csv'): void {
  if (view === undefined) return;
  const content = kind === 'png' ? drawn.picture() : '';
  void port.request('save', { name: `${view.name}-loss`, kind, content }).catch(() => undefined);
}

port.on('run', (next) => {
  if (next.updatedAt !== view?.updatedAt)
    lastHeard = next.updatedAt === null ? Date.now() : Math.min(Date.now(), Date.parse(next.updatedAt));
  const first = view?.id !== next.id;
  view = next;
  if (first) keep();
  // Words and figures at once, charts with the next frame.
  drawHead(head, next, { command, mend, silentMs: Date.now() - lastHeard });
  drawStats(next, history() ?? new RunHistory(next.id, next.name));
  redraw();
});
port.on('log', ({ id, name, reset, part }) => {
  let one = histories.get(id);
  if (one === undefined || reset) {
    one = new RunHistory(id, name);
    histories.set(id, one);
  }
  one.add(part);
  if (id === view?.id) lastHeard = Date.now();
  redraw();
});
port.on('compared', (ids) => {
  compared = ids;
  keep();
  redraw();
});
onThemeChange(() => {
  drawn.dress();
  legendKey = '';
  redraw();
});
// A run that says nothing must be seen to say nothing.
setInterval(() => {
  if (view !== undefined && isLive(view.state)) redraw();
}, 5000);
choose(kept.tab);
port.ready();
