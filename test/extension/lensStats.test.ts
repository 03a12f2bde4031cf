// What the data lens says of all rows, and how rows can be asked for anywhere.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { cutRange } from '../../src/extension/webviews/lensRows';
import { openSource } from '../../src/extension/webviews/lensSource';
import { flags, RowStats } from '../../src/extension/webviews/lensStats';
import type { LensSettings } from '../../src/protocol/panels/lens';

const cutting = (max_length: number, truncation: LensSettings['truncation'] = 'right') => ({
  max_length,
  truncation,
  train_on: 'completions' as const,
  template: null,
});
/** A row of `length` tokens whose [from, to) train. */
const row = (length: number, from: number, to: number) =>
  ({
    ids: Array.from({ length }, (_, i) => i),
    trained: Uint8Array.from({ length }, (_, i) => (i >= from && i < to ? 1 : 0)),
  }) as never;

test('what truncation takes out, by its kind', () => {
  assert.deepEqual(cutRange(10, 1, cutting(10)), [0, 0]);
  assert.deepEqual(cutRange(10, 1, cutting(7)), [7, 10]);
  // From the left the leading special tokens stay.
  assert.deepEqual(cutRange(10, 1, cutting(7, 'left')), [1, 4]);
  assert.deepEqual(cutRange(10, 0, cutting(7, 'left')), [0, 3]);
  assert.deepEqual(cutRange(10, 1, cutting(7, 'drop')), [0, 10]);
  assert.deepEqual(cutRange(10, 20, cutting(7, 'left')), [6, 9], 'one place stays for the rest');
});

test('counts and problems follow max_length without encoding anew', () => {
  const stats = new RowStats();
  stats.addEncoded(1, row(10, 4, 10), 0, 0);
  stats.addEncoded(2, row(20, 15, 20), 0, 0);
  stats.addEncoded(3, row(5, 0, 0), 0, 0);
  stats.addError(4, flags.unreadable, { message: 'broken', remedy: 'mend' });
  stats.addEncoded(5, row(10, 4, 10), 0, flags.duplicate);
  const wide = stats.summary(cutting(32), 64);
  assert.deepEqual([wide.scanned, wide.tokens, wide.trained, wide.longer, wide.longest], [5, 45, 17, 0, 20]);
  assert.deepEqual(wide.problems.map(({ id, count }) => [id, count]).sort(), [
    ['duplicate', 1],
    ['unreadable', 1],
    ['untrained', 1],
  ]);
  assert.deepEqual(wide.problems.find(({ id }) => id === 'unreadable')!.rows, [
    { row: 3, line: 4, message: 'broken' },
  ]);
  const narrow = stats.summary(cutting(16), 64);
  assert.deepEqual([narrow.tokens, narrow.trained, narrow.longer], [41, 13, 1]);
  const cut = narrow.problems.find(({ id }) => id === 'cutAnswer')!;
  assert.deepEqual(
    cut.rows.map((one) => one.row),
    [1],
  );
  assert.ok(
    cut.remedies.some(({ edits }) => edits.max_length === 64),
    JSON.stringify(cut.remedies),
  );
  assert.deepEqual(stats.problemsOf(1, cutting(12)), ['cutAway']);
  assert.deepEqual(stats.problemsOf(1, cutting(12, 'error')), ['tooLong']);
  assert.deepEqual(stats.problemsOf(1, cutting(12, 'drop')), []);
});

test('the histogram holds every row that was read, and the quantiles are those of its lengths', () => {
  const stats = new RowStats();
  for (let i = 1; i <= 3000; i++) stats.addEncoded(i, row(1 + (i % 100), 0, 1), 0, 0);
  const { histogram, median, p95, longest } = stats.summary(cutting(1000), 2048);
  assert.equal(
    histogram.rows.reduce((sum, count) => sum + count, 0),
    3000,
  );
  assert.ok(histogram.rows.length <= 44 && histogram.width * histogram.rows.length >= longest);
  assert.deepEqual([median, p95, longest], [51, 96, 100]);
});

test('problems are found forwards and backwards, of one kind or of any', () => {
  const stats = new RowStats();
  for (let i = 0; i < 10; i++)
    stats.addEncoded(i + 1, row(4, 0, 4), 0, i === 3 ? flags.end : i === 6 ? flags.leak : 0);
  assert.equal(stats.next(-1, false, null, cutting(8)), 3);
  assert.equal(stats.next(3, false, null, cutting(8)), 6);
  assert.equal(stats.next(0, false, 'leak', cutting(8)), 6);
  assert.equal(stats.next(6, true, null, cutting(8)), 3);
  assert.equal(stats.next(6, false, null, cutting(8)), null);
  stats.mark(9, flags.leak);
  assert.equal(stats.next(6, false, null, cutting(8)), 9);
});

function write(t: TestContext, name: string, content: string | Uint8Array): string {
  const folder = mkdtempSync(join(tmpdir(), 'lens-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

test('lines are rows that can be read from anywhere, blank ones left out', async (t) => {
  const lines = Array.from({ length: 5000 }, (_, i) => JSON.stringify({ text: `row ${i} ü` }));
  lines.splice(10, 0, '', '   ');
  lines[100] = 'no json';
  const source = openSource(write(t, 'a.jsonl', `${lines.join('\n')}`), 'jsonl', 'window');
  t.after(() => source.close());
  await source.grow();
  assert.deepEqual([source.count, source.complete], [5000, true]);
  const [last] = await source.read(4999, 10);
  assert.deepEqual([last!.row, last!.line, last!.value], [5000, 5002, { text: 'row 4999 ü' }]);
  const rows = await source.read(8, 4);
  assert.deepEqual(
    rows.map(({ line }) => line),
    [9, 10, 13, 14],
  );
  const [broken] = await source.read(98, 1);
  assert.ok(broken!.problem !== undefined);
  assert.deepEqual(await source.read(6000, 5), []);
});

test('a line of other bytes than UTF-8 is a problem of its row alone', async (t) => {
  const bytes = Buffer.concat([
    Buffer.from('{"text":"a"}\n{"text":"'),
    Buffer.from([0xff, 0xfe]),
    Buffer.from('"}\n{"text":"b"}\n'),
  ]);
  const source = openSource(write(t, 'b.jsonl', bytes), 'jsonl', 'window');
  t.after(() => source.close());
  await source.grow();
  const rows = await source.read(0, 3);
  assert.deepEqual(
    rows.map(({ problem }) => problem?.code),
    [undefined, 'dataset-not-utf8', undefined],
  );
});

test('other formats grow as they are read', async (t) => {
  const table = `text\n${Array.from({ length: 4500 }, (_, i) => `row ${i}`).join('\n')}\n`;
  const source = openSource(write(t, 'c.csv', table), 'csv', 'window');
  t.after(() => source.close());
  await source.grow();
  assert.ok(source.count > 0 && source.count < 4500 && !source.complete);
  while (!source.complete) await source.grow();
  assert.equal(source.count, 4500);
  assert.deepEqual((await source.read(4499, 1))[0]!.value, { text: 'row 4499' });
});
