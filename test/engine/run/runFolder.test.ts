// A run's folder: its name, its lock, its checkpoints, its state.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { readEvents } from '../../../src/engine/run/eventLog';
import { RunRecorder, readTrainerState } from '../../../src/engine/run/recorder';
import { listCheckpoints, RunFolder, runOfCheckpoint } from '../../../src/engine/run/runFolder';
import { isLocked, RunLock } from '../../../src/engine/run/runLock';
import type { RunEvent } from '../../../src/protocol/run';

function temporary(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'run-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A process id that surely belongs to nobody any more. */
function deadPid(): number {
  return spawnSync(process.execPath, ['-e', '']).pid;
}

test('a second run of the same name gets a number, nothing is overwritten', async (t) => {
  const wanted = join(temporary(t), 'runs', 'sql');
  const first = await RunFolder.create(wanted, 'model: a\n');
  const second = await RunFolder.create(wanted, 'model: b\n');
  first.release();
  const third = await RunFolder.create(wanted, 'model: c\n');
  assert.deepEqual([first.path, second.path, third.path], [wanted, `${wanted}-2`, `${wanted}-3`]);
  assert.equal(readFileSync(first.recipePath, 'utf8'), 'model: a\n');
  second.release();
  third.release();
});

test('an empty folder is taken, a folder with other files and a file are not', async (t) => {
  const folder = temporary(t);
  mkdirSync(join(folder, 'empty'));
  (await RunFolder.create(join(folder, 'empty'), '')).release();
  mkdirSync(join(folder, 'full'));
  writeFileSync(join(folder, 'full', 'thesis.txt'), '');
  writeFileSync(join(folder, 'file'), '');
  for (const name of ['full', 'file']) {
    await assert.rejects(RunFolder.create(join(folder, name), ''), { code: 'run-folder-occupied' });
  }
  assert.deepEqual(readdirSync(join(folder, 'full')), ['thesis.txt']);
});

test('a folder that may not be written to is said', { skip: process.getuid?.() === 0 }, async (t) => {
  const folder = temporary(t);
  chmodSync(folder, 0o500);
  await assert.rejects(RunFolder.create(join(folder, 'a', 'b'), ''), { code: 'folder-read-only' });
  chmodSync(folder, 0o700);
});

test('a run is opened again, by one process at a time', async (t) => {
  const path = join(temporary(t), 'a');
  const run = await RunFolder.create(path, '');
  assert.throws(() => RunFolder.open(path), { code: 'run-locked' });
  run.release();
  const again = RunFolder.open(path);
  again.release();
  assert.equal(existsSync(join(path, 'run.lock')), false);
  assert.throws(() => RunFolder.open(join(path, 'none')), { code: 'run-missing' });
});

test('resumes the newest run of an output_dir, from its newest checkpoint or a given one', async (t) => {
  const runs = temporary(t);
  const wanted = join(runs, 'sql');
  const make = async (path: string, steps: number[]): Promise<string> => {
    const run = await RunFolder.create(path, `output_dir: ${path}\n`);
    for (const step of steps) mkdirSync(run.checkpointPath(step));
    run.release();
    return run.path;
  };
  assert.throws(() => RunFolder.resume(wanted, true), { code: 'run-missing' });
  await make(wanted, [5]);
  const second = await make(wanted, [2, 10]);
  // The run of another recipe, which is called sql-7.
  await make(`${wanted}-7`, [99]);
  const newest = RunFolder.resume(wanted, true);
  assert.equal(newest.folder.path, second);
  assert.equal(newest.checkpoint.step, 10);
  newest.folder.release();
  const given = RunFolder.resume(wanted, join(wanted, 'checkpoints', 'step-5'));
  assert.equal(given.folder.path, wanted);
  assert.equal(given.checkpoint.step, 5);
  given.folder.release();
  const third = await make(wanted, []);
  assert.throws(() => RunFolder.resume(wanted, true), { code: 'run-without-checkpoint' });
  assert.equal(isLocked(join(third, 'run.lock')), false);
});

test("a dead process's lock is taken over, a damaged one too", (t) => {
  const path = join(temporary(t), 'run.lock');
  writeFileSync(path, JSON.stringify({ pid: deadPid(), host: hostname(), started: null, token: 'x' }));
  assert.equal(isLocked(path), false);
  RunLock.take(path).release();
  writeFileSync(path, '{"pid":');
  RunLock.take(path).release();
  assert.deepEqual(readdirSync(join(path, '..')), []);
});

test('a process id that was used again does not hold the lock', {
  skip: !existsSync('/proc/self/stat'),
}, (t) => {
  const path = join(temporary(t), 'run.lock');
  writeFileSync(path, JSON.stringify({ pid: process.pid, host: hostname(), started: '1', token: 'x' }));
  RunLock.take(path).release();
});

test("a live process's lock and another machine's are respected, and only the own lock is given back", (t) => {
  const path = join(temporary(t), 'run.lock');
  writeFileSync(path, JSON.stringify({ pid: 1, host: 'elsewhere', started: null, token: 'x' }));
  assert.throws(() => RunLock.take(path), { code: 'run-locked' });
  rmSync(path);
  const lock = RunLock.take(path);
  writeFileSync(path, JSON.stringify({ pid: process.pid, host: hostname(), started: null, token: 'other' }));
  lock.release();
  assert.equal(existsSync(path), true);
});

async function runWithCheckpoints(t: TestContext, steps: number[]): Promise<RunFolder> {
  const run = await RunFolder.create(join(temporary(t), 'a'), '');
  for (const step of steps) mkdirSync(run.checkpointPath(step));
  return run;
}
const stepsOf = (run: RunFolder): number[] => run.checkpoints().map(({ step }) => step);

test('lists checkpoints by step and leaves out what is being written', async (t) => {
  const run = await runWithCheckpoints(t, [10, 9, 100]);
  mkdirSync(join(run.checkpointsPath, '.step-200.new-1-0'));
  writeFileSync(join(run.checkpointsPath, 'step-300'), '');
  assert.deepEqual(stepsOf(run), [9, 10, 100]);
  assert.equal(run.newestCheckpoint()?.step, 100);
  assert.deepEqual(listCheckpoints(join(run.path, 'none')), []);
  assert.equal(runOfCheckpoint(run.checkpointPath(9)).run, run.path);
  assert.throws(() => runOfCheckpoint(run.path), { code: 'checkpoint-not-of-run' });
  run.release();
});

test('keeps the newest and the best checkpoint whatever the limit', async (t) => {
  for (const [limit, best, kept] of [
    [2, null, [4, 5]],
    [2, 1, [1, 5]],
    [1, 1, [1, 5]],
    [1, 5, [5]],
    [3, 2, [2, 4, 5]],
    [null, 1, [1, 2, 3, 4, 5]],
    [9, null, [1, 2, 3, 4, 5]],
  ] as const) {
    const run = await runWithCheckpoints(t, [1, 2, 3, 4, 5]);
    const removed = await run.prune(limit, best);
    assert.deepEqual(stepsOf(run), kept, `limit ${limit}, best ${best}`);
    assert.deepEqual([...removed, ...kept].sort(), [1, 2, 3, 4, 5]);
    run.release();
  }
});

test('records a run, and goes on after a resume without the steps that were lost', async (t) => {
  const run = await RunFolder.create(join(temporary(t), 'a'), '');
  const passed: RunEvent[] = [];
  const options = {
    maxSteps: 6,
    numTrainEpochs: 1,
    tensorboard: true,
    resumedFromStep: null,
    loggingSteps: 2,
  };
  const stepBody = (step: number) =>
    ({
      type: 'step',
      step,
      epoch: step / 6,
      loss: 3 - step / 10,
      learningRate: 1e-4,
      gradNorm: 1,
      tokens: 4,
      tokensPerSecond: 1,
      peakMemoryBytes: 1,
      etaSeconds: null,
    }) as const;
  const first = new RunRecorder(run, options, (event) => passed.push(event));
  for (let step = 1; step <= 4; step++) first.emit(stepBody(step));
  first.emit({ type: 'eval', step: 2, epoch: 0.3, loss: 2, perplexity: 7, tokens: 4, best: true });
  first.emit({ type: 'eval', step: 4, epoch: 0.6, loss: 1, perplexity: 2, tokens: 4, best: true });
  await first.saveState();
  first.close();
  assert.equal(passed.length, 6);
  assert.ok(passed.every(({ time }) => !Number.isNaN(Date.parse(time))));
  const logged = readEvents(run.eventsPath).events.map((event) => ('step' in event ? event.step : null));
  assert.deepEqual(logged, [2, 4, 2, 4]);
  const state = readTrainerState(run.statePath)!;
  assert.equal(state.best_metric, 1);
  assert.equal(state.best_model_checkpoint, run.checkpointPath(4));
  assert.deepEqual(state.log_history[0], {
    epoch: 2 / 6,
    grad_norm: 1,
    learning_rate: 1e-4,
    loss: 2.8,
    step: 2,
  });

  const second = new RunRecorder(run, { ...options, resumedFromStep: 2 }, () => {});
  assert.deepEqual(
    second.state.log_history.map(({ step }) => step),
    [2, 2],
  );
  assert.equal(second.state.best_metric, 2);
  assert.equal(second.state.best_model_checkpoint, run.checkpointPath(2));
  second.close();
  assert.equal(readdirSync(run.path).filter((name) => name.includes('tfevents')).length, 2);
  run.release();
});
