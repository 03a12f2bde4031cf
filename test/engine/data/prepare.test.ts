import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Example } from '../../../src/engine/data/dataset';
import type { DataOptions } from '../../../src/engine/data/prepare';
import { prepareData } from '../../../src/engine/data/prepare';
import { loadTokenizer } from '../../../src/engine/data/tokenizer';
import { fileOf, fixtures, jsonl, sharedData, tinyTokenizer, tokenizerWith } from './workspace';

const tokenizer = loadTokenizer(tinyTokenizer);
const prepare = async (dataset: DataOptions['dataset'], more: Partial<DataOptions> = {}) =>
  prepareData({ tokenizer: await tokenizer, dataset, ...more });
const text = async (example: Example) => (await tokenizer).decode(example.ids, { skipSpecialTokens: false });
const trainedText = async (example: Example) =>
  (await tokenizer).decode(
    [...example.ids].filter((_, t) => example.trained[t] === 1),
    { skipSpecialTokens: false },
  );

const pairs = Array.from({ length: 20 }, (_, i) => ({ prompt: `hello ${i}`, completion: ` you ${i * 11}` }));

test('the report counts rows, tokens and trained tokens', async () => {
  const { train, report, evalReport } = await prepare(jsonl(pairs));
  assert.equal(train.length, 20);
  assert.deepEqual([report.rows, report.examples, report.droppedRows, report.truncatedRows], [20, 20, 0, 0]);
  assert.equal(
    report.tokens,
    train.reduce((sum, e) => sum + e.ids.length, 0),
  );
  assert.equal(
    report.trainedTokens,
    train.reduce((sum, e) => sum + e.trained.filter((t) => t === 1).length, 0),
  );
  assert.equal(report.longestTokens, Math.max(...train.map((e) => e.ids.length)));
  assert.deepEqual(report.lengthHistogram, [{ upTo: 32, rows: 20 }]);
  assert.deepEqual(
    report.shapes.map(({ shape, columns }) => [shape, columns]),
    [['prompt-completion', { prompt: 'prompt', completion: 'completion' }]],
  );
  assert.match(report.notes.join('\n'), /the chat template is not applied to plain texts/);
  assert.equal(evalReport, null);
  assert.deepEqual([train[3]!.row, train[3]!.line, await text(train[3]!)], [4, 4, '<s>hello 3 you 33</s>']);
});

test('the same data in every format gives the same tokens', async () => {
  const csvText = `prompt,completion\n${pairs.map((p) => `${p.prompt},${p.completion}\n`).join('')}`;
  const files = [
    jsonl(pairs),
    fileOf('a.json', JSON.stringify(pairs, null, 2)),
    fileOf('a.csv', csvText),
    fileOf('a.tsv', csvText.replaceAll(',', '\t')),
  ];
  const prepared = await Promise.all(files.map((file) => prepare(file)));
  for (const { train } of prepared)
    assert.deepEqual(
      train.map((e) => e.ids),
      prepared[0]!.train.map((e) => e.ids),
    );
});

test('Parquet with nested messages trains the assistant', async () => {
  const { train, report } = await prepare(join(fixtures, 'nested-snappy.parquet'));
  assert.equal(train.length, 10);
  assert.equal(await trainedText(train[2]!), 'answer 2 ä🙂<|im_end|>');
  assert.equal(report.shapes[0]!.shape, 'messages');
});

test('several files, each with its own columns', async () => {
  const questions = jsonl([{ question: 'hello', answer: ' you' }]);
  const { train, report } = await prepare([
    { path: questions, columns: { prompt: 'question', completion: 'answer' } },
    fileOf('b.txt', 'hello world'),
  ]);
  assert.deepEqual(await Promise.all(train.map(text)), ['<s>hello you</s>', '<s>hello world</s>']);
  assert.deepEqual(
    report.shapes.map(({ shape }) => shape),
    ['prompt-completion', 'text'],
  );
});

const long = [
  { prompt: 'hello', completion: ' the world is' },
  { prompt: 'hello', completion: ' you' },
];

test('truncation right cuts the end and counts lost ends', async () => {
  const { train, report } = await prepare(jsonl(long), { max_length: 4 });
  assert.deepEqual(await Promise.all(train.map(text)), ['<s>hello the world', '<s>hello you</s>']);
  assert.deepEqual([report.truncatedRows, report.truncatedTokens, report.rowsWithoutEnd], [1, 2, 1]);
  assert.equal(train[0]!.truncatedTokens, 2);
  assert.match(report.notes.join('\n'), /cut 2 tokens from 1 row; 1 row lost the end of the answer/);
});

test('truncation left keeps BOS and the end', async () => {
  const { train, report } = await prepare(jsonl(long), { max_length: 4, truncation: 'left' });
  assert.deepEqual(await Promise.all(train.map(text)), ['<s> world is</s>', '<s>hello you</s>']);
  assert.equal(await trainedText(train[0]!), ' world is</s>');
  assert.deepEqual([report.truncatedRows, report.rowsWithoutEnd], [1, 0]);
});

test('truncation drop leaves rows out, error refuses them', async () => {
  const { train, report } = await prepare(jsonl(long), { max_length: 4, truncation: 'drop' });
  assert.deepEqual(await Promise.all(train.map(text)), ['<s>hello you</s>']);
  assert.deepEqual([report.rows, report.examples, report.droppedRows, report.truncatedRows], [2, 1, 1, 0]);
  assert.match(report.notes.join('\n'), /1 row is longer than max_length and dropped: .*:1 \(row 1\)/);
  await assert.rejects(
    prepare(jsonl(long), { max_length: 4, truncation: 'error' }),
    /:1 \(row 1\): the row has 6 tokens, max_length is 4/,
  );
});

test('rows whose answer truncation removes are dropped and listed', async () => {
  const rows = [
    { prompt: 'hello hello hello', completion: ' you' },
    { prompt: 'hello', completion: ' you' },
  ];
  const { train, report } = await prepare(jsonl(rows), { max_length: 4 });
  assert.equal(train.length, 1);
  assert.match(
    report.notes.join('\n'),
    /1 row is left without a token to train on by truncation, and dropped: .*:1 \(row 1\)/,
  );
});

test('plain text is one stream in windows; every token is there, and learned, once', async () => {
  const lines = Array.from({ length: 400 }, (_, i) => `hello world ${i}`).join('\n');
  const { train, report } = await prepare(fileOf('a.txt', lines), { max_length: 33 });
  assert.ok(train.every((e) => e.ids[0] === 1 && e.ids.length <= 33));
  const joined = train.flatMap((e) => [...e.ids.subarray(1)]);
  assert.deepEqual(joined, [...(await tokenizer).encode(lines, { specialTokens: false }), 2]);
  assert.ok(train.every((e) => e.trained[0] === 0 && e.trained.subarray(1).every((t) => t === 1)));
  assert.equal(report.truncatedRows, 0);
  const blocks = await prepare(fileOf('a.txt', 'hello\n\nworld\n'), { text_split: 'blank_line' });
  assert.deepEqual(await Promise.all(blocks.train.map(text)), ['<s>hello</s>', '<s>world</s>']);
});

test('evaluation by split and by file', async () => {
  const split = await prepare(jsonl(pairs), { val_size: 0.25 });
  assert.deepEqual([split.train.length, split.eval.length], [15, 5]);
  assert.deepEqual([split.report.examples, split.evalReport?.examples], [15, 5]);
  assert.deepEqual(
    (await prepare(jsonl(pairs), { val_size: 5 })).eval.map((e) => e.row),
    split.eval.map((e) => e.row),
  );
  const file = await prepare(jsonl(pairs), { eval_dataset: jsonl(pairs.slice(0, 3)) });
  assert.deepEqual([file.train.length, file.eval.length, file.evalReport?.rows], [20, 3, 3]);
});

test('a row without a trained token is dropped with a note', async () => {
  const rows = [
    { messages: [{ role: 'user', content: 'q' }] },
    {
      messages: [
        { role: 'user', content: 'q' },
        { role: 'assistant', content: 'a' },
      ],
    },
  ];
  const { train, report } = await prepare(jsonl(rows));
  assert.equal(train.length, 1);
  assert.match(report.notes.join('\n'), /1 row is without a token to train on and dropped: .*:1 \(row 1\)/);
});

test('preparation can be stopped', async () => {
  const rows = Array.from({ length: 6000 }, () => ({ text: 'hello' }));
  const controller = new AbortController();
  const seen: number[] = [];
  const onProgress = (count: number) => {
    seen.push(count);
    controller.abort();
  };
  await assert.rejects(prepare(jsonl(rows), { signal: controller.signal, onProgress }), {
    name: 'AbortError',
  });
  assert.equal(seen.length, 1);
});

const datasets = join(sharedData, 'datasets');
const skip = !existsSync(datasets);
test('real files: ShareGPT with tools, Alpaca, messages as parts, GSM8K, Shakespeare', { skip }, async () => {
  const glaive = await prepare(join(datasets, 'formats/glaive_toolcall_en_demo.json'), { max_length: 32768 });
  assert.deepEqual([glaive.train.length, glaive.report.shapes[0]!.shape], [300, 'sharegpt']);
  const tools = await prepare(join(datasets, 'formats/reason_tool_use_demo_50.jsonl'), { max_length: 8192 });
  assert.deepEqual([tools.train.length, tools.report.shapes[0]!.shape], [50, 'messages']);
  const identity = await prepare(join(datasets, 'formats/identity.json'));
  assert.equal(identity.report.shapes[0]!.shape, 'alpaca');
  assert.match(await trainedText(identity.train[0]!), /^Hello! I am .*<\|im_end\|>$/);
  const gsm = await prepare({
    path: join(datasets, 'gsm8k/test.jsonl'),
    columns: { prompt: 'question', completion: 'answer' },
  });
  assert.equal(gsm.train.length, 1319);
  assert.match(await trainedText(gsm.train[0]!), /#### 18<\/s>$/);
  const plays = await prepare(join(datasets, 'tinyshakespeare/input.txt'), { max_length: 256 });
  assert.ok(plays.train.slice(0, -1).every((e) => e.ids.length === 256));
  assert.ok((await text(plays.train[0]!)).startsWith('<s>First Citizen:\nBefore we proceed'));
  const dialogues = await prepare(join(datasets, 'formats/dialogues.parquet'), { max_length: 4096 });
  assert.equal(dialogues.report.examples, 525);
});

test('a tokenizer without EOS is told of', async () => {
  const bare = await loadTokenizer(tokenizerWith({ eos_token: null }));
  const { train, report } = await prepareData({ tokenizer: bare, dataset: jsonl([{ text: 'hello' }]) });
  assert.deepEqual(train[0]!.ids.length, 2);
  assert.match(report.notes.join('\n'), /names no EOS token/);
});
