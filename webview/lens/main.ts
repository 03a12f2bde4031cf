// The page of a dataset: rows as the model will see them; beside them the row's counts, the lengths of all rows and what is
// wrong with them. Settings change everything on the spot; remedies go into the recipe.
import type {
  LensContract,
  LensProgress,
  LensRow,
  LensSettings,
  LensState,
  Remedy,
} from '../../src/protocol/panels/lens';
import '../adapter/bars.css';
import { el, fill, icon } from '../shared/dom';
import { openPage } from '../shared/page';
import { connect, RequestFailure } from '../shared/port';
import { t } from '../shared/texts';
import './lens.css';
import { Bar } from './bar';
import { Lengths } from './lengths';
import { Problems } from './problems';
import { drawRowCounts } from './rowCounts';
import { Rows } from './rows';

const port = connect<LensContract, { row: number }>();
const main = openPage(t('Dataset as tokens'));
const run = (request: Promise<unknown>): void =>
  void request.catch((cause: unknown) => {
    status.textContent = cause instanceof RequestFailure ? cause.report.message : String(cause);
  });

let state: LensState | undefined;
let progress: LensProgress | undefined;
let current: LensRow | undefined;

const rows = new Rows({
  load: (from, number) => port.request('rows', { from, count: number }),
  openRow: (line) => run(port.request('openRow', { line })),
  onCurrent: (row) => {
    current = row;
    bar.showRow(row.index);
    port.keep({ row: row.index });
    drawRowCounts(rowSection, row);
  },
  settings: () => state!.settings,
});
const bar = new Bar({
  go,
  step: (by) => go((current?.index ?? 0) + by),
  nextProblem: () => problem(false, null),
  set: (change: Partial<LensSettings>) => run(port.request('set', change)),
  chooseTemplate: () => run(port.request('chooseTemplate', undefined)),
});
const lengths = new Lengths();
const problems = new Problems({
  apply,
  showRows: (id) => problem(false, id),
  newFineTune: () => run(port.request('command', { command: 'newFineTune' })),
  setRecipe: (path) => run(port.request('setRecipe', { path })),
});
const status = el('p', { class: 'said', role: 'status' });
const failed = el('div', { class: 'ln-failed', role: 'alert', hidden: true });
const rowSection = el('section', {});

fill(
  main,
  bar.element,
  el(
    'div',
    { class: 'ln-two' },
    el('div', { style: { 'min-width': '0' } }, failed, rows.element, status),
    el(
      'aside',
      { class: 'lw-rail', 'aria-label': t('Counts and problems') },
      rowSection,
      lengths.element,
      problems.element,
    ),
  ),
);
new ResizeObserver(() => main.style.setProperty('--ln-bar', `${bar.element.offsetHeight}px`)).observe(
  bar.element,
);

function go(index: number): void {
  const last = (progress?.rows ?? 1) - 1;
  void rows.go(Math.max(0, Math.min(last, index)));
}

async function findProblem(back: boolean, id: string | null): Promise<void> {
  const from = id === null ? (current?.index ?? -1) : -1;
  const found = await port.request('problemRow', { from, back, id });
  if (found !== null) {
    await rows.go(found);
    status.textContent = t('Row {0}', found + 1);
    return;
  }
  const around = await port.request('problemRow', { from: back ? (progress?.scanned ?? 0) : -1, back, id });
  if (around !== null) await rows.go(around);
  status.textContent =
    around === null
      ? t('No row has a problem.')
      : back
        ? t('Row {0}, from the end again', around + 1)
        : t('Row {0}, from the start again', around + 1);
}

function problem(back: boolean, id: string | null): void {
  run(findProblem(back, id));
}

addEventListener('keydown', (event) => {
  if (event.key !== 'F8') return;
  event.preventDefault();
  problem(event.shiftKey, null);
});

function apply(remedy: Remedy): void {
  run(
    port.request('remedy', remedy).then(({ written }) => {
      status.textContent =
        written === null
          ? t('{0}: applied here.', remedy.label)
          : t('{0}: written to {1}.', remedy.label, written);
    }),
  );
}

function update(): void {
  if (progress === undefined || state === undefined) return;
  bar.showTotal(progress.rows, progress.complete);
  lengths.show(progress, state.settings);
  problems.show(progress, state);
}

port.on('state', (next) => {
  const before = JSON.stringify([state?.settings, state?.models, state?.name]);
  state = next;
  if (JSON.stringify([next.settings, next.models, next.name]) !== before) bar.show(next);
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
      icon('error', 'err', t('Problem')),
      el('span', {}, report.message, ' ', el('span', { class: 'muted' }, report.remedy)),
    ),
  );
});
drawRowCounts(rowSection, undefined);
port.ready();
