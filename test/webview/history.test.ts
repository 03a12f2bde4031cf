// A page's history of a run: columns, smoothing, resuming, export.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { logPart } from '../../src/extension/webviews/runLog';
import type { PlanFacts, RunEvent } from '../../src/protocol/run';
import { RunHistory, toCsv } from '../../webview/run/history';

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

function historyOf(events: RunEvent[]): RunHistory {
  const history = new RunHistory('/r', 'r');
  history.add(logPart(events));
  return history;
}

test('the smoothed loss of a constant loss is that loss, from the first step on', () => {
  const history = historyOf([1, 2, 3].map((step) => stepEvent(step, 2)));
  for (const value of history.smoothed) assert.ok(Math.abs(value - 2) < 1e-12);
  assert.deepEqual(history.tokens, [10, 20, 30]);
});

test('a resumed run drops what it had left behind', () => {
  const history = historyOf([
    started(null),
    ...[1, 2, 3, 4].map((step) => stepEvent(step, step)),
    { type: 'eval', step: 4, epoch: 1, loss: 9, perplexity: 1, tokens: 1, best: true, time },
    started(2),
    stepEvent(3, 30),
  ]);
  assert.deepEqual(history.step, [1, 2, 3]);
  assert.deepEqual(history.loss, [1, 2, 30]);
  assert.equal(history.evals.length, 0);
  const waiting = historyOf([started(null), ...[1, 2, 3].map((step) => stepEvent(step, step)), started(1)]);
  assert.deepEqual(waiting.step, [1], 'before the first new step, too');
});

test('a loss that is no number leaves a gap and does not spoil the average', () => {
  const history = historyOf([stepEvent(1, 2), stepEvent(2, null as unknown as number), stepEvent(3, 2)]);
  assert.ok(Number.isNaN(history.loss[1]));
  assert.ok(Math.abs(history.smoothed[2]! - 2) < 1e-12);
});

test('parts that come one by one give the same history as the whole log', () => {
  const events = [started(null), ...[1, 2, 3, 4, 5].map((step) => stepEvent(step, 1 / step))];
  const whole = historyOf(events);
  const pieces = new RunHistory('/r', 'r');
  for (const event of events) pieces.add(logPart([event]));
  assert.deepEqual(pieces.smoothed, whole.smoothed);
});

test('CSV has a line for every step and the evaluation where it was', () => {
  const history = historyOf([
    stepEvent(1, 2),
    stepEvent(2, 1),
    { type: 'eval', step: 2, epoch: 1, loss: 0.5, perplexity: 1, tokens: 1, best: true, time },
  ]);
  const lines = toCsv(history).trim().split('\n');
  assert.equal(lines.length, 3);
  assert.match(lines[0]!, /^step,loss,/);
  assert.match(lines[2]!, /^2,1,[\d.]+,0\.5,0\.0001,,100$/);
});
