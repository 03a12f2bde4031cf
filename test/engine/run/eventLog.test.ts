// events.jsonl: appended whole, read back, a torn end survived.
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { UserError } from '../../../src/engine/errors';
import { EventLog, readEventPieces, readEvents, withoutSuperseded } from '../../../src/engine/run/eventLog';
import type { RunEvent } from '../../../src/protocol/run';

const time = '2026-01-02T03:04:05.000Z';
const note = (message: string): RunEvent => ({ type: 'note', message, time });
const step = (number: number, loss: number): RunEvent => ({
  type: 'step',
  step: number,
  epoch: 0.1,
  loss,
  learningRate: 1e-4,
  gradNorm: null,
  tokens: 5,
  tokensPerSecond: 1,
  peakMemoryBytes: 1,
  etaSeconds: null,
  time,
});

function logPath(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), 'events-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return join(folder, 'events.jsonl');
}

test('appends a line per event and reads them back, on from where it was', (t) => {
  const path = logPath(t);
  const log = EventLog.open(path);
  log.append(note('a\nb'));
  const first = readEvents(path);
  assert.deepEqual(first.events, [note('a\nb')]);
  log.append(note('ü'));
  log.close();
  assert.equal(readFileSync(path, 'utf8').split('\n').length, 3);
  const second = readEvents(path, first.nextByte);
  assert.deepEqual(second.events, [note('ü')]);
  assert.equal(second.nextByte, readFileSync(path).byteLength);
  assert.deepEqual(readEvents(path, second.nextByte).events, []);
});

test('a torn last line is not read, and the next event starts a line of its own', (t) => {
  const path = logPath(t);
  writeFileSync(path, `${JSON.stringify(note('whole'))}\n{"type":"step","st`);
  const torn = readEvents(path);
  assert.deepEqual(torn.events, [note('whole')]);
  assert.equal(torn.damagedLines, 0);
  const log = EventLog.open(path);
  log.append(note('after'));
  log.close();
  const all = readEvents(path);
  assert.deepEqual(all.events, [note('whole'), note('after')]);
  assert.equal(all.damagedLines, 1);
});

test('damaged, foreign and endless lines are skipped and counted', (t) => {
  const path = logPath(t);
  writeFileSync(path, `not json\n[1]\n{"type":"note"}\n\n${JSON.stringify(note('good'))}\n`);
  appendFileSync(path, `"${'x'.repeat(5 * 1024 * 1024)}"\n${JSON.stringify(note('last'))}\n`);
  const { events, damagedLines } = readEvents(path);
  assert.deepEqual(events, [note('good'), note('last')]);
  assert.equal(damagedLines, 4);
});

test('reads events whose lines cross the blocks it reads in', (t) => {
  const path = logPath(t);
  const long = 'ä'.repeat(300_000);
  const log = EventLog.open(path);
  for (let i = 0; i < 7; i++) log.append(note(`${i}${long}`));
  log.close();
  assert.deepEqual(
    readEvents(path).events.map((event) => event.type === 'note' && event.message.length),
    Array(7).fill(300_001),
  );
});

test('reads many short lines, and nothing twice at the end of the file', (t) => {
  const path = logPath(t);
  const line = `${JSON.stringify(note('short'))}\n`;
  const count = Math.ceil((1.5 * 1024 * 1024) / line.length);
  writeFileSync(path, `${line.repeat(count)}{"type":`);
  const { events, damagedLines } = readEvents(path);
  assert.equal(events.length, count);
  assert.equal(damagedLines, 0);
});

test('a log that is not there has no events; a folder that is not there is said', (t) => {
  const path = logPath(t);
  assert.deepEqual(readEvents(path).events, []);
  assert.throws(() => EventLog.open(join(path, 'no', 'events.jsonl')), UserError);
});

test('what an interrupted part logged after the step of its resume does not count', () => {
  const started = (from: number | null): RunEvent =>
    ({
      type: 'run-started',
      run: '/r',
      pid: 1,
      plan: {},
      resumedFromStep: from,
      time,
    }) as unknown as RunEvent;
  const events = [started(null), step(1, 3), step(2, 2), step(3, 9), started(2), step(3, 1), note('n')];
  assert.deepEqual(withoutSuperseded(events), [
    started(null),
    step(1, 3),
    step(2, 2),
    started(2),
    step(3, 1),
    note('n'),
  ]);
});

test('pieces give the events of the whole log, in order, and where to read on', async (t) => {
  const path = logPath(t);
  const log = EventLog.open(path);
  for (let i = 1; i <= 5000; i++) log.append(i % 100 === 0 ? note(`ü${'x'.repeat(i)}`) : step(i, i / 7));
  log.close();
  appendFileSync(path, 'damaged\n{"type":"note"');
  const whole = readEvents(path);
  const pieces = [];
  for await (const piece of readEventPieces(path)) pieces.push(piece);
  assert.ok(pieces.length > 2, `${pieces.length} pieces`);
  assert.deepEqual(
    pieces.flatMap(({ events }) => events),
    whole.events,
  );
  assert.equal(pieces.at(-1)!.nextByte, whole.nextByte);
  assert.equal(
    pieces.reduce((sum, { damagedLines }) => sum + damagedLines, 0),
    1,
  );
  appendFileSync(path, ',"message":"end","time":"now"}\n');
  const more = [];
  for await (const { events } of readEventPieces(path, whole.nextByte)) more.push(...events);
  assert.deepEqual(more, [{ type: 'note', message: 'end', time: 'now' }]);
});

test('a line too long to be an event is skipped, also where it spans pieces', async (t) => {
  const path = logPath(t);
  const long = JSON.stringify(note('y'.repeat(5 * 1024 * 1024)));
  writeFileSync(path, `${JSON.stringify(step(1, 1))}\n${long}\n${JSON.stringify(step(2, 1))}\n`);
  const found = [];
  let damaged = 0;
  for await (const { events, damagedLines } of readEventPieces(path)) {
    found.push(...events);
    damaged += damagedLines;
  }
  assert.deepEqual(found, [step(1, 1), step(2, 1)]);
  assert.equal(damaged, 1);
});

test('the pieces of a log that is not there are none', async (t) => {
  for await (const piece of readEventPieces(logPath(t))) assert.fail(JSON.stringify(piece));
});
