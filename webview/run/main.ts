// The page of a run: figures, charts, samples, log and recipe. It draws what the run's log tells, at most once a frame. Each part
// is drawn by a file of its own; this one holds what is known and who is told of it.
import '../shared/workbench.css';
import './run.css';
import './panes.css';
import type { RunContract, RunRemedy, RunView } from '../../src/protocol/panels/run';
import { button, type Child, el, fill } from '../shared/dom';
import { integer, loss as lossText } from '../shared/format';
import { openPage } from '../shared/page';
import { connect } from '../shared/port';
import { runStateText } from '../shared/runState';
import { Slot } from '../shared/slot';
import { t } from '../shared/texts';
import { onThemeChange } from '../shared/theme';
import { newest, RunCharts, type Shown } from './charts';
import { chartsPane } from './chartsPane';
import { Drawing } from './drawing';
import { EventList } from './events';
import { drawHead, isLive } from './head';
import { RunHistory } from './history';
import { Legend } from './legend';
import { drawMemory } from './memory';
import { drawModules } from './modules';
import { drawSamples } from './samples';
import { drawStats } from './stats';
import { lossTable } from './table';
import { Tabs } from './tabs';

interface Kept {
  tab: string;
  log: boolean;
  off: string[];
  /** Ids of the run and of those it is compared with: what the page is brought back with after a reload. */
  runs: string[];
}

const port = connect<RunContract, Kept>();
const main = openPage(t('Run'));
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

const drawing = new Drawing(draw);
const redraw = (): void => drawing.ask();

const head = el('div', {});
const stats = el('dl', { class: 'rn-stats' });
const legend = new Legend({
  toggle(name) {
    kept.off = kept.off.includes(name) ? kept.off.filter((one) => one !== name) : [...kept.off, name];
    keep();
    redraw();
  },
  toggleRun(id) {
    if (!hidden.delete(id)) hidden.add(id);
    redraw();
  },
  remove: (id) => void port.request('remove', { id }),
  compare: () => void port.request('compare', {}).catch(() => undefined),
});
const memory = el('section', { 'aria-label': t('Memory') });
const modules = el('section', { 'aria-label': t('Modules'), hidden: true });
const newestEvents = new EventList(12);
const events = el('section', { 'aria-label': t('Events') }, el('h2', {}, t('Events')), newestEvents.element);
const charts = chartsPane(
  { legend: legend.element, rail: [memory, modules, events], log: kept.log },
  {
    save,
    scale(log) {
      kept.log = log;
      keep();
      redraw();
    },
    table: redraw,
  },
);
const samples = el('div', { class: 'rn-samples' });
const allEvents = new EventList(500);
const log = el(
  'div',
  { class: 'rn-log' },
  el(
    'div',
    { class: 'rn-tools' },
    button(t('Show log'), () => command('showLog', view?.id), { icon: 'output' }),
  ),
  allEvents.element,
);
const recipePlace = new Slot(el('div', { class: 'rn-recipe' }));
const panes = [
  { id: 'charts', label: t('Charts'), element: charts.element },
  { id: 'samples', label: t('Samples'), element: samples },
  { id: 'log', label: t('Log'), element: log },
  { id: 'recipe', label: t('Recipe'), element: recipePlace.element },
];
const tabs = new Tabs(t('Run'), panes, (id) => {
  kept.tab = id;
  keep();
  if (id === 'recipe')
    port.request('recipe', {}).then(
      (text) => {
        recipe = text;
        redraw();
      },
      () => undefined,
    );
  redraw();
});
fill(
  main,
  el(
    'div',
    { class: 'lw-page' },
    head,
    stats,
    tabs.element,
    panes.map(({ element }) => element),
  ),
);
const drawn = new RunCharts(charts.canvases);

function keep(): void {
  if (view !== undefined) kept.runs = [view.id, ...compared];
  port.keep({ ...kept });
}

function history(): RunHistory | undefined {
  return view === undefined ? undefined : histories.get(view.id);
}

function shownSeries(): Shown {
  const on = (name: string): boolean => !kept.off.includes(name);
  return {
    train: on('train'),
    smoothed: on('smoothed'),
    eval: on('eval'),
    log: charts.logScale(),
    hidden,
  };
}

function draw(): void {
  if (view === undefined) return;
  const own = history() ?? new RunHistory(view.id, view.name);
  drawHead(head, view, { command, mend, silentMs: Date.now() - lastHeard });
  drawStats(stats, view, own);
  if (kept.tab === 'charts') drawCharts(view, own);
  else if (kept.tab === 'samples') drawSamples(samples, own.samples);
  else if (kept.tab === 'log') allEvents.show(own.events);
  else {
    const { folder } = view;
    recipePlace.show([recipe, folder], () => recipePane(folder));
  }
}

function drawCharts(run: RunView, own: RunHistory): void {
  const others = compared.flatMap((id) => histories.get(id) ?? []);
  legend.show(kept.off, others, hidden);
  // What a run that ended did not do needs no room.
  const planned = isLive(run.state)
    ? axisEnd(run.totalSteps ?? 0, own.lastStep)
    : Math.ceil(1.02 * own.lastStep);
  drawn.draw(own, others, shownSeries(), planned, run.plan?.stepsPerEpoch ?? 0);
  charts.canvases.loss.setAttribute('aria-label', sentence(run, own));
  const last = newest(own);
  fill(charts.newest.rate, last.rate);
  fill(charts.newest.norm, last.norm);
  fill(charts.newest.speed, last.speed);
  charts.empty.hidden = own.step.length > 0 || others.length > 0;
  charts.empty.textContent =
    !histories.has(run.id) && run.folder !== null
      ? t('Reading the log')
      : isLive(run.state)
        ? (run.phase ?? t('Waiting for the first step'))
        : t('This run ended before its first step.');
  if (charts.table.hasAttribute('open')) fill(charts.tablePlace, lossTable(own));
  drawMemory(memory, run, own);
  drawModules(modules, own.choices);
  newestEvents.show(own.events);
}

/** The axis of a live run: all its steps, or so many halves of them that what was done takes a good part of it. */
function axisEnd(total: number, done: number): number {
  let end = total;
  while (end > 100 && end / 2 > 1.5 * done) end /= 2;
  return Math.ceil(end);
}

/** What the loss chart shows, for those who do not see it. */
function sentence(run: RunView, own: RunHistory): string {
  const training = own.smoothed.at(-1);
  const evaluation = own.evals.at(-1);
  const parts = [
    t('{0} steps', integer(own.lastStep)),
    t('training loss {0}', training === undefined ? t('unknown') : lossText(training)),
  ];
  if (evaluation !== undefined)
    parts.push(t('evaluation loss {0} at step {1}', lossText(evaluation.loss), evaluation.step));
  parts.push(runStateText(run.state));
  return `${t('Loss by step')}: ${parts.join(', ')}.`;
}

function recipePane(folder: string | null): Child {
  const open = (): void =>
    void port.request('openFile', { path: `${folder}/recipe.yaml` }).catch(() => undefined);
  return [
    el(
      'div',
      { class: 'rn-tools' },
      folder === null ? null : button(t('Open recipe'), open, { icon: 'go-to-file' }),
    ),
    recipe === undefined || recipe === ''
      ? el('p', { class: 'muted' }, t('This run keeps no recipe.'))
      : el('pre', { class: 'mono', tabindex: 0 }, recipe),
  ];
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
  drawStats(stats, next, history() ?? new RunHistory(next.id, next.name));
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
  legend.forget();
  redraw();
});
// A run that says nothing must be seen to say nothing.
setInterval(() => {
  if (view !== undefined && isLive(view.state)) redraw();
}, 5000);
tabs.choose(kept.tab);
port.ready();
