// When a run is recorded, launched, recorded anew and run in the usual way: the queue is a list of what it was told.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Capture } from '../../../src/engine/session/capture';

function recorder() {
  const told: string[] = [];
  const state = { epoch: 0, spoilt: false, failing: false };
  let made = 0n;
  const capture = new Capture(
    {
      beginCapture: () => told.push('begin'),
      endCapture: () => {
        told.push('end');
        return state.spoilt ? null : ++made;
      },
      launch: (graph) => told.push(`launch ${graph}`),
      freeGraph: (graph) => told.push(`free ${graph}`),
    },
    () => state.epoch,
  );
  const go = () =>
    capture.go(
      async () => {
        told.push('run');
        if (state.failing) throw new Error('no memory');
      },
      () => {
        told.push('record');
        if (state.failing) throw new Error('no memory');
      },
    );
  return { capture, told, state, go, taken: () => told.splice(0) };
}

test('two runs, then a recording that is launched, then launches', async () => {
  const { capture, go, taken } = recorder();
  assert.deepEqual([await go(), await go(), capture.recorded], [false, false, false]);
  assert.deepEqual(taken(), ['run', 'run']);
  assert.ok(await go());
  // What was recorded has not been executed: it is launched for this run.
  assert.deepEqual(taken(), ['begin', 'record', 'end', 'launch 1']);
  assert.ok(capture.recorded);
  await go();
  assert.deepEqual(taken(), ['launch 1']);
});

test('other tensors make it new; memory given out since costs one run more', async () => {
  const { capture, state, go, taken } = recorder();
  for (let i = 0; i < 3; i++) await go();
  taken();
  capture.forget();
  assert.deepEqual(taken(), ['free 1']);
  for (let i = 0; i < 3; i++) await go();
  assert.deepEqual(taken(), ['run', 'run', 'begin', 'record', 'end', 'launch 2']);
  state.epoch++;
  assert.equal(capture.recorded, false);
  await go();
  await go();
  assert.deepEqual(taken(), ['free 2', 'run', 'begin', 'record', 'end', 'launch 3']);
});

test('what cannot be recorded runs in the usual way, and is not tried for ever', async () => {
  const { state, go, taken } = recorder();
  state.spoilt = true;
  for (let i = 0; i < 6; i++) assert.equal(await go(), false);
  assert.deepEqual(
    taken().filter((what) => what !== 'run'),
    ['begin', 'record', 'end', 'begin', 'record', 'end'],
  );
});

test('a run that fails while it is recorded leaves nothing behind and raises its own error', async () => {
  const { state, go, taken } = recorder();
  await go();
  await go();
  taken();
  state.failing = true;
  await assert.rejects(go(), /no memory/);
  assert.deepEqual(taken(), ['begin', 'record', 'end', 'free 1', 'run']);
});
