// What the terminal shows: the live line, colours, numbers as people read them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, Terminal, table } from '../../src/cli/terminal';
import { TrainProgress } from '../../src/cli/trainProgress';
import { formatBytes, formatCount, formatDuration, formatLoss } from '../../src/cli/units';
import type { RunEvent } from '../../src/protocol/run';

function recording(isTTY: boolean, env: NodeJS.ProcessEnv, json = false) {
  let [out, err] = ['', ''];
  const terminal = new Terminal({
    json,
    env,
    stdout: { isTTY, columns: 60, write: (text: string) => (out += text) },
    stderr: { isTTY, write: (text: string) => (err += text) },
  });
  return { terminal, out: () => out, err: () => err };
}

const time = '2026-01-02T03:04:05.000Z';
const step: RunEvent = {
  type: 'step',
  step: 3,
  epoch: 0.5,
  loss: 2,
  learningRate: 1e-4,
  gradNorm: null,
  tokens: 1,
  tokensPerSecond: 12345,
  peakMemoryBytes: 3 * 2 ** 30,
  etaSeconds: 75,
  time,
};
const started = {
  type: 'run-started',
  run: '/r',
  pid: 1,
  plan: { totalSteps: 6, modelType: 'llama', predictedPeakBytes: null },
  resumedFromStep: null,
  time,
};

test('rewrites one line on a terminal, no wider than it, and clears it before other lines', () => {
  const { terminal, out } = recording(true, {});
  const progress = new TrainProgress(terminal);
  progress.show(started as unknown as RunEvent);
  const before = out().length;
  progress.show(step);
  const live = out().slice(before);
  assert.match(live, /^\r.{4}█{10}░{10} step 3\/6 {2}loss 2\.0000 {2}12\.3 k tok\/s/);
  assert.ok([...live].length <= 60 + 5);
  assert.ok(!live.includes('\n'));
  progress.show({ type: 'note', message: 'n', time });
  assert.ok(
    out()
      .slice(before + live.length)
      .startsWith('\r\u001b[2K'),
  );
});

test('writes plain lines elsewhere, and only to standard error beside a result', () => {
  const plain = recording(false, {});
  new TrainProgress(plain.terminal).show({
    type: 'progress',
    phase: 'loading',
    message: 'Loading',
    fraction: null,
    time,
  });
  assert.equal(plain.out(), 'Loading\n');
  const beside = recording(false, {});
  const progress = new TrainProgress(beside.terminal, 'beside');
  progress.show({ type: 'progress', phase: 'loading', message: 'Loading', fraction: null, time });
  progress.show({ type: 'warning', message: 'w', remedy: 'r', time });
  assert.equal(beside.out(), '');
  assert.equal(beside.err(), 'Warning: w\n  → r\n');
  const json = recording(true, {}, true);
  new TrainProgress(json.terminal, 'beside').show({ type: 'warning', message: 'w', time });
  new TrainProgress(json.terminal).show(step);
  assert.equal(json.out() + json.err(), '');
});

test('colours only on a terminal, and not with NO_COLOR', () => {
  assert.equal(recording(true, {}).terminal.style('red', 'x'), '\u001b[31mx\u001b[39m');
  assert.equal(recording(true, { NO_COLOR: '1' }).terminal.style('red', 'x'), 'x');
  assert.equal(recording(true, { TERM: 'dumb' }).terminal.style('red', 'x'), 'x');
  assert.equal(recording(false, {}).terminal.style('red', 'x'), 'x');
});

test('shows numbers as people read them', () => {
  assert.deepEqual([0, 999, 1000, 2 ** 20, 1.25 * 2 ** 30, 150 * 2 ** 30].map(formatBytes), [
    '0 B',
    '999 B',
    '0.98 KiB',
    '1.00 MiB',
    '1.25 GiB',
    '150 GiB',
  ]);
  assert.deepEqual([0, 59.6, 754, 3723].map(formatDuration), ['0:00', '1:00', '12:34', '1:02:03']);
  assert.deepEqual([812, 12345, 1.236e6, 8e9].map(formatCount), ['812', '12.3 k', '1.24 M', '8.00 G']);
  assert.deepEqual([2.34567, 1e8].map(formatLoss), ['2.3457', '1.000e+8']);
});

test('shows control characters instead of obeying them', () => {
  assert.equal(printable('a\u001b[2J\u0007\tb\n\u009bc'), 'a\\x1b[2J\\x07\tb\n\\x9bc');
});

test('aligns tables', () => {
  assert.deepEqual(
    table([
      ['a', 1, 'x'],
      ['bcd', 22, ''],
    ]),
    ['  a     1  x', '  bcd  22'],
  );
});
