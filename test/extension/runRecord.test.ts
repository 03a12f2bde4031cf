// What the tree of runs lists of a run, folded from its events.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emptyRecord, foldEvent } from '../../src/extension/runs/runRecord';

const saved = (step: number, kept?: number[]) =>
  ({
    type: 'checkpoint',
    step,
    path: `run/checkpoints/step-${step}`,
    reason: 'steps',
    time: '2026-01-01T00:00:00Z',
    ...(kept === undefined ? {} : { kept }),
  }) as const;
const steps = (events: readonly ReturnType<typeof saved>[]) =>
  events.reduce(foldEvent, emptyRecord('run', 'run', 'run')).checkpoints.map(({ step }) => step);

test('checkpoints that save_total_limit removed are listed no more', () => {
  assert.deepEqual(steps([saved(2, [2]), saved(4, [2, 4]), saved(6, [4, 6])]), [4, 6]);
});

test('a log that does not tell which ones are left lists all', () => {
  assert.deepEqual(steps([saved(2), saved(4), saved(4)]), [2, 4]);
});
