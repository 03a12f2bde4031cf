// Counts of the Models & Data tree.
import assert from 'node:assert/strict';
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { countRows, describeDataset } from '../../src/extension/workspace/items';

test('rows are lines with something in them, the last one without an end too, and counted anew when the file grows', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'items-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const file = join(folder, 'a.jsonl');
  writeFileSync(file, '{"a":1}\r\n\n  \n{"a":2}\n{"a":3}');
  assert.equal(await countRows(file), 3);
  // Lines that span pieces of the file are one row each.
  appendFileSync(file, `\n${JSON.stringify('x'.repeat(3 * 2 ** 20))}\n`);
  assert.equal(await countRows(file), 4);
  assert.equal((await describeDataset(file)).rows, 4);
  const table = join(folder, 'a.csv');
  writeFileSync(table, 'a,b\n1,2\n');
  assert.equal(await countRows(table), undefined);
  assert.equal(await countRows(join(folder, 'missing.jsonl')), undefined);
});
