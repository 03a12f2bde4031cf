// A run's device on its way to the page: samples from the log, thinned, taken back by a resume; its line; and what is offered
// to a run that ran out of memory.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { memoryRemedies } from '../../src/extension/runs/memoryRemedies';
import { RunLog } from '../../src/extension/webviews/runLog';
import type { LogPart } from '../../src/protocol/panels/run';
import type { Recipe } from '../../src/protocol/recipe';
import type { PlanFacts, RunEvent } from '../../src/protocol/run';
import { devicePeak, sharePath } from '../../webview/run/deviceLine';
import { RunHistory } from '../../webview/run/history';

const sample = (step: number, used: number | null, utilization: number | null = 0.5): RunEvent => ({
  type: 'device',
  step,
  device: 'cuda:0',
  name: 'H',
  memoryUsedBytes: used,
  memoryTotalBytes: 100,
  utilization,
  time: new Date(1000 * step).toISOString(),
});
const started = (resumedFromStep: number | null): RunEvent => ({
  type: 'run-started',
  run: '/r',
  pid: 1,
  plan: {} as PlanFacts,
  resumedFromStep,
  time: new Date(0).toISOString(),
});

/** What a page knows after a log was read at once. */
async function read(events: readonly RunEvent[]): Promise<{ history: RunHistory; told: LogPart[] }> {
  const folder = mkdtempSync(join(tmpdir(), 'run-device-'));
  try {
    const path = join(folder, 'events.jsonl');
    writeFileSync(path, events.map((event) => `${JSON.stringify(event)}\n`).join(''));
    const history = new RunHistory('r', 'r');
    const told: LogPart[] = [];
    const log = new RunLog(path, (part) => {
      told.push(part);
      history.add(part);
    });
    await log.read();
    return { history, told };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('samples reach the page and stay out of its list of events', async () => {
  const { history } = await read([started(null), sample(0, 10), sample(1, 70, null), sample(2, 40)]);
  assert.deepEqual(
    history.device.map(({ step, used, total, utilization }) => [step, used, total, utilization]),
    [
      [0, 10, 100, 0.5],
      [1, 70, 100, null],
      [2, 40, 100, 0.5],
    ],
  );
  assert.deepEqual(
    history.events.map(({ type }) => type),
    ['run-started'],
  );
  assert.equal(devicePeak(history.device), 70);
  assert.equal(devicePeak([]), null);
});

test('a resumed run takes back the samples of what it left behind', async () => {
  const { history } = await read([started(null), sample(1, 10), sample(5, 90), started(2), sample(3, 20)]);
  assert.deepEqual(
    history.device.map(({ step }) => step),
    [1, 3],
  );
});

test('of a long run as many samples as a chart shows, the newest among them', async () => {
  const { history, told } = await read([
    started(null),
    ...Array.from({ length: 5000 }, (_, i) => sample(i, i % 100)),
  ]);
  const pieces = told.at(-1)!.pieces.filter(({ event }) => event?.type === 'device');
  assert.ok(pieces.length <= 600 && pieces.length > 500, `${pieces.length}`);
  assert.equal(history.device.at(-1)?.step, 4999);
});

test('what comes live is bounded too', () => {
  const history = new RunHistory('r', 'r');
  const steps = {
    step: [],
    loss: [],
    smoothed: [],
    learningRate: [],
    gradNorm: [],
    tokensPerSecond: [],
    tokens: [],
  };
  for (let i = 0; i < 5000; i++)
    history.add({ pieces: [{ steps, event: sample(i, 1) as Exclude<RunEvent, { type: 'step' }> }] });
  assert.ok(history.device.length <= 1200);
  assert.equal(history.device.at(-1)?.step, 4999);
});

test('a line over time, with a gap where nothing was told', () => {
  assert.equal(
    sharePath([
      { at: 0, share: 0 },
      { at: 10, share: 1 },
      { at: 20, share: null },
      { at: 30, share: 2 },
    ]),
    'M0.0 31.5L80.0 0.5M240.0 0.5',
  );
  assert.equal(sharePath([{ at: 5, share: 1 }]), 'M0.0 0.5H240');
  assert.equal(sharePath([]), '');
});

const recipe = (change: Partial<Recipe> = {}): Recipe =>
  ({
    adapter: 'lora',
    load_in_4bit: false,
    max_length: 1024,
    per_device_train_batch_size: 8,
    per_device_eval_batch_size: 8,
    gradient_accumulation_steps: 2,
    gradient_checkpointing: 'selective',
    ...change,
  }) as Recipe;

test('remedies: half the batch with twice the accumulation first, and only what lowers memory', () => {
  const [batch, ...others] = memoryRemedies(recipe());
  assert.deepEqual(batch, {
    edits: [
      { key: 'per_device_train_batch_size', value: 4 },
      { key: 'gradient_accumulation_steps', value: 4 },
      { key: 'per_device_eval_batch_size', value: 4 },
    ],
    sameResult: true,
  });
  assert.deepEqual(
    others.map(({ edits: [edit], sameResult }) => [edit?.key, edit?.value, sameResult]),
    [
      ['gradient_checkpointing', 'full', true],
      ['load_in_4bit', true, false],
      ['max_length', 512, false],
    ],
  );
  assert.deepEqual(
    memoryRemedies(
      recipe({
        adapter: 'none',
        per_device_train_batch_size: 1,
        gradient_checkpointing: 'full',
        max_length: 200,
      }),
    ),
    [],
  );
});
