import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { detectFormat, readers } from '../../../src/engine/data/readers/open';
import type { SourceRow, TextPiece, TextSplit } from '../../../src/engine/data/readers/row';
import { fileOf, fixtures, sharedData } from './workspace';

async function read(
  file: string,
  textSplit: TextSplit = 'blank_line',
  maxRowBytes = 1 << 20,
): Promise<SourceRow[]> {
  const rows: SourceRow[] = [];
  for await (const row of readers[await detectFormat(file)](file, { maxRowBytes, textSplit })) rows.push(row);
  return rows;
}

const places = (rows: SourceRow[]) => rows.map(({ row, line }) => [row, line]);
const values = (rows: SourceRow[]) => rows.map(({ value }) => value);

test('JSON Lines: BOM, blank lines and CRLF count as lines, not as rows', async () => {
  const rows = await read(fileOf('a.jsonl', '\uFEFF{"a":1}\r\n\r\n{"a":2}\n\n{"a":"ä"}'));
  assert.deepEqual(values(rows), [{ a: 1 }, { a: 2 }, { a: 'ä' }]);
  assert.deepEqual(places(rows), [
    [1, 1],
    [2, 3],
    [3, 5],
  ]);
});

test('JSON Lines longer than one chunk keep their characters and numbers', async () => {
  const lines = Array.from({ length: 3000 }, (_, i) => JSON.stringify({ i, text: 'ä🙂'.repeat(80) }));
  const rows = await read(fileOf('a.jsonl', `${lines.join('\n')}\n`));
  assert.equal(rows.length, 3000);
  assert.ok(rows.every(({ value, line }, i) => line === i + 1 && JSON.stringify(value) === lines[i]));
});

test('a JSON list gives the line of each row, and one broken row hides no other', async () => {
  const text = '[\n  {"a": "x, ]} \\" {",\n   "b": [1, {"c": 2}]},\n  {"a": oops},\n  {"a": 3}\n]\n';
  const rows = await read(fileOf('a.json', text));
  assert.deepEqual(places(rows), [
    [1, 2],
    [2, 4],
    [3, 5],
  ]);
  assert.deepEqual(rows[0]!.value, JSON.parse(text.slice(2, text.indexOf(',\n  {"a": oops'))));
  assert.match(rows[1]!.problem!.message, /not JSON/);
  assert.deepEqual(rows[2]!.value, { a: 3 });
});

test('a JSON list that was cut off says so', async () => {
  const rows = await read(fileOf('a.json', '[{"a": 1},\n{"a": "tru'));
  assert.deepEqual(rows[0]!.value, { a: 1 });
  assert.match(rows[1]!.problem!.message, /ends in the middle/);
  assert.equal(rows[1]!.line, 2);
});

test('JSON objects: a single list inside, one row alone, or JSON Lines under the wrong name', async () => {
  assert.deepEqual(values(await read(fileOf('a.json', '{"version": 1, "data": [{"a": 1}, {"a": 2}]}'))), [
    { a: 1 },
    { a: 2 },
  ]);
  assert.deepEqual(values(await read(fileOf('a.json', '{"messages": [{"role": "user"}]}'))), [
    { messages: [{ role: 'user' }] },
  ]);
  assert.deepEqual(values(await read(fileOf('a.json', '{"a": 1}\n{"a": 2}\n'))), [{ a: 1 }, { a: 2 }]);
  assert.deepEqual(values(await read(fileOf('a.json', '[]'))), []);
  await assert.rejects(read(fileOf('a.json', '{"a": [], "b": []}')), /one object with 2 lists \(a, b\)/);
  await assert.rejects(read(fileOf('a.json', '"text"')), /expected a list of rows/);
});

test('CSV: quotes, line ends in fields, BOM and other delimiters', async () => {
  const comma = await read(fileOf('a.csv', '\uFEFFprompt,completion\n"a, ""b""","line\nline"\nc,d\n'));
  assert.deepEqual(values(comma), [
    { prompt: 'a, "b"', completion: 'line\nline' },
    { prompt: 'c', completion: 'd' },
  ]);
  assert.deepEqual(places(comma), [
    [1, 3],
    [2, 4],
  ]);
  assert.deepEqual(values(await read(fileOf('a.csv', 'a;b\n1,5;2\n'))), [{ a: '1,5', b: '2' }]);
  assert.deepEqual(values(await read(fileOf('a.tsv', 'a\tb\n1,5\t"x\ty"\n'))), [{ a: '1,5', b: 'x\ty' }]);
});

test('CSV: ragged records and stray quotes are problems of their rows', async () => {
  const ragged = await read(fileOf('a.csv', 'a,b\n1,2\n3\n4,5,6\n7,8\n'));
  assert.deepEqual(
    ragged.map((row) => row.problem?.message ?? 'ok'),
    ['ok', 'the record has 1 fields, the header 2.', 'the record has 3 fields, the header 2.', 'ok'],
  );
  assert.deepEqual(places(ragged), [
    [1, 2],
    [2, 3],
    [3, 4],
    [4, 5],
  ]);
  const stray = await read(fileOf('a.csv', 'a,b\n1,2\n"3"x,4\n5,6\n'));
  assert.deepEqual(places(stray), [
    [1, 2],
    [2, 3],
  ]);
  assert.match(stray[1]!.problem!.message, /nor what follows it \(Invalid Closing Quote/);
  const open = await read(fileOf('a.csv', 'a,b\n1,2\n"3,4\n5,6\n'));
  assert.match(open.at(-1)!.problem!.message, /[Qq]uote/);
});

test('Parquet: nested lists and objects, 64-bit numbers, row groups, two compressions', async () => {
  for (const name of ['nested-snappy.parquet', 'nested-zstd.parquet']) {
    const rows = await read(join(fixtures, name));
    assert.equal(rows.length, 10);
    assert.deepEqual(rows[5]!.value, {
      id: (2n ** 60n + 5n).toString(),
      messages: [
        { role: 'user', content: 'question 5' },
        { role: 'assistant', content: 'answer 5 ä🙂' },
      ],
      meta: { score: 1.25, tags: ['a', 'b'] },
      note: null,
    });
    assert.deepEqual(places(rows).at(-1), [10, null]);
  }
});

test('Parquet is known by its first bytes without an extension', async () => {
  const bytes = readFileSync(join(fixtures, 'nested-snappy.parquet'));
  assert.equal(await detectFormat(fileOf('data', bytes)), 'parquet');
  assert.equal(await detectFormat(fileOf('data', '{"a":1}\n{"a":2}')), 'jsonl');
  assert.equal(await detectFormat(fileOf('data', ' [{"a":1}]')), 'json');
  assert.equal(await detectFormat(fileOf('data', 'Once upon a time')), 'text');
});

test('text by blank lines, by lines, and as one stream', async () => {
  const file = fileOf('a.txt', 'one\ntwo\n\n\n three\n');
  assert.deepEqual(values(await read(file)), [{ text: 'one\ntwo' }, { text: ' three' }]);
  assert.deepEqual(places(await read(file)), [
    [1, 1],
    [2, 5],
  ]);
  assert.deepEqual(values(await read(file, 'line')), [{ text: 'one' }, { text: 'two' }, { text: ' three' }]);
  const whole = await read(file, 'window');
  assert.deepEqual(values(whole), [{ text: 'one\ntwo\n\n\n three', last: true }]);
});

test('a long text streams in pieces that join to the whole', async () => {
  const text = Array.from({ length: 9000 }, (_, i) => `line ${i} of a long text`).join('\n');
  const pieces = values(await read(fileOf('a.txt', text), 'window')) as TextPiece[];
  assert.ok(pieces.length > 2);
  assert.equal(pieces.map((piece) => piece.text).join(''), text);
  assert.deepEqual(
    pieces.map((piece) => piece.last),
    pieces.map((_, i) => i === pieces.length - 1),
  );
});

test('a row beyond the limit is a problem, whatever the format', async () => {
  for (const [name, text] of [
    ['a.jsonl', `{"a":1}\n{"a":"${'x'.repeat(2000)}"}\n{"a":2}\n`],
    ['a.json', `[{"a":1},{"a":"${'x'.repeat(2000)}"},{"a":2}]`],
    ['a.csv', `a\n1\n${'x'.repeat(2000)}\n2\n`],
  ] as const) {
    const rows = await read(fileOf(name, text), 'line', 1000);
    assert.ok(
      rows.some((row) => row.problem),
      name,
    );
    assert.ok(rows.length <= 3, name);
  }
});

const shared = join(sharedData, 'datasets/formats');
test('real Parquet and JSON Lines of the same data agree', { skip: !existsSync(shared) }, async () => {
  const parquet = await read(join(shared, 'dialogues.parquet'));
  const lines = await read(join(shared, 'dialogues.jsonl'));
  const key = (rows: SourceRow[]) =>
    rows
      .map((row) => row.value as { conversation_id: string; messages: unknown })
      .map((v) => [v.conversation_id, v.messages]);
  assert.equal(parquet.length, 525);
  const known = new Map(key(lines).map(([id, messages]) => [id, JSON.stringify(messages)]));
  const both = key(parquet).filter(([id]) => known.has(id));
  assert.ok(both.length > 0);
  for (const [id, messages] of both) assert.equal(JSON.stringify(messages), known.get(id as string));
});
