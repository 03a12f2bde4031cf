// A run's log on its way to the page: columns, smoothing, resuming, overviews, export; and what the page keeps of it.
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { RunLog } from '../../src/extension/webviews/runLog';
import { RunSteps } from '../../src/extension/webviews/runSteps';
import type { PlanFacts, RunEvent } from '../../src/protocol/run';
import { RunHistory } from '../../webview/run/history';

const time = '2026-01-01T00:00:00.000Z';
const stepEvent = (step: number, loss: number): RunEvent => ({
  type: 'step',
  step,
  epoch: step / 10,
  loss,
  learningRate: 1e-4,
  gradNorm: null,
  tokens: 10,
  tokensPerSecond: 100,
  peakMemoryBytes: 1,
  etaSeconds: null,
  time,
});
const started = (resumedFromStep: number | null): RunEvent => ({
  type: 'run-started',
  run: '/r',
  pid: 1,
  plan: {} as PlanFacts,
  resumedFromStep,
  time,
});
const evaluation = (step: number, loss: number): RunEvent => ({
  type: 'eval',
  step,
  epoch: 1,
  loss,
  perplexity: 1,
  tokens: 1,
  best: true,
  time,
});

function write(t: TestContext, events: readonly RunEvent[]): string {
  const folder = mkdtempSync(join(tmpdir(), 'runlog-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'events.jsonl');
  writeFileSync(path, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
  return path;
}

/** What a page keeps of a log, and how to add to it. */
async function pageOf(t: TestContext, events: readonly RunEvent[]) {
  const path = write(t, events);
  const page = { history: new RunHistory('/r', 'r'), resets: 0 };
  const log = new RunLog(path, (part, reset) => {
    if (reset) {
      page.history = new RunHistory('/r', 'r');
      page.resets++;
    }
    page.history.add(part);
  });
  await log.read();
  const more = async (next: readonly RunEvent[]): Promise<void> => {
    appendFileSync(path, next.map((event) => `${JSON.stringify(event)}\n`).join(''));
    await log.read();
  };
  return { page, log, more };
}

test('the smoothed loss of a constant loss is that loss, from the first step on', async (t) => {
  const { page } = await pageOf(
    t,
    [1, 2, 3].map((step) => stepEvent(step, 2)),
  );
  assert.equal(page.history.smoothed.length, 3);
  for (const value of page.history.smoothed) assert.ok(Math.abs(value - 2) < 1e-12);
  assert.deepEqual(page.history.tokens, [10, 20, 30]);
});

test('a resumed run drops what it had left behind', async (t) => {
  const events = [
    started(null),
    ...[1, 2, 3, 4].map((step) => stepEvent(step, step)),
    evaluation(4, 9),
    started(2),
    stepEvent(3, 30),
  ];
  const { page } = await pageOf(t, events);
  assert.deepEqual(page.history.step, [1, 2, 3]);
  assert.deepEqual(page.history.loss, [1, 2, 30]);
  assert.equal(page.history.evals.length, 0);
  const live = await pageOf(t, [started(null), ...[1, 2, 3].map((step) => stepEvent(step, step))]);
  await live.more([started(1)]);
  assert.deepEqual(live.page.history.step, [1], 'before the first new step, too');
  await live.more([stepEvent(2, 20)]);
  assert.deepEqual(live.page.history.loss, [1, 20]);
  assert.equal(live.page.resets, 1, 'what comes is added, not told anew');
});

test('a loss that is no number leaves a gap and does not spoil the average', async (t) => {
  const { page } = await pageOf(t, [
    stepEvent(1, 2),
    stepEvent(2, null as unknown as number),
    stepEvent(3, 2),
  ]);
  assert.ok(Number.isNaN(page.history.loss[1]));
  assert.ok(Math.abs(page.history.smoothed[2]! - 2) < 1e-12);
});

test('events that come one by one give the same history as the whole log', async (t) => {
  const events = [started(null), ...[1, 2, 3, 4, 5].map((step) => stepEvent(step, 1 / step))];
  const whole = await pageOf(t, events);
  const pieces = await pageOf(t, []);
  for (const event of events) await pieces.more([event]);
  assert.deepEqual(pieces.page.history.smoothed, whole.page.history.smoothed);
  assert.deepEqual(pieces.page.history.step, whole.page.history.step);
});

test('an overview of a long run keeps its ends, its peaks and the smoothing over all steps', () => {
  const steps = new RunSteps();
  const losses = Array.from({ length: 50_000 }, (_, i) => 1 + Math.sin(i * 12.9898) * 0.1);
  losses[31_234] = 40;
  losses[7] = -3;
  for (const [i, loss] of losses.entries()) steps.add(stepEvent(i + 1, loss));
  const { step, loss, smoothed, tokens } = steps.overview(100);
  assert.ok(step.length <= 800 && step.length >= 200, `${step.length} steps`);
  assert.equal(step[0], 1);
  assert.equal(step.at(-1), 50_000);
  assert.equal(loss[step.indexOf(31_235)], 40);
  assert.equal(loss[step.indexOf(8)], -3);
  assert.deepEqual(
    step,
    [...new Set(step)].sort((a, b) => a - b),
  );
  assert.equal(tokens.at(-1), 500_000);
  let [average, weight] = [0, 0];
  for (const value of losses) {
    average = 0.96 * average + 0.04 * value;
    weight = 0.96 * weight + 0.04;
  }
  assert.ok(Math.abs(smoothed.at(-1)! - average / weight) < 1e-9);
});

test('a page that is loaded again is told the whole again', async (t) => {
  const { page, log, more } = await pageOf(t, [started(null), stepEvent(1, 2)]);
  await more([stepEvent(2, 1), evaluation(2, 0.5)]);
  log.retell();
  assert.deepEqual(page.history.step, [1, 2]);
  assert.equal(page.history.evals.length, 1);
  assert.equal(page.resets, 2);
});

test('CSV has a line for every step and the evaluation where it was', async (t) => {
  const { log } = await pageOf(t, [stepEvent(1, 2), stepEvent(2, 1), evaluation(2, 0.5)]);
  const lines = [...log.csv()].join('').trim().split('\n');
  assert.equal(lines.length, 3);
  assert.match(lines[0]!, /^step,loss,/);
  assert.match(lines[2]!, /^2,1,[\d.]+,0\.5,0\.0001,,100$/);
});
