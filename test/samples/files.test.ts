// What is committed under samples/ is what its scripts make, its rows fit their shapes, and the sizes stay small.

import assert from 'node:assert/strict';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { test } from 'node:test';
import { Tokenizer } from '@huggingface/tokenizers';
import { parse } from 'yaml';
import { type CheckpointModule, load, type SampleFilesModule, samples } from './modules';

type Row = Record<string, unknown>;
const files = load<SampleFilesModule>('sampleFiles.mjs');
const pretraining = files.then(({ pretrainingFiles }) => pretrainingFiles());
const checkpoint = load<CheckpointModule>('checkpoint.mjs');

const rowsOf = (name: string): Row[] =>
  readFileSync(join(samples, 'data', name), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Row);

/** Rows and columns of each dataset. */
const datasets: Record<string, [count: number, columns: string[]]> = {
  'pirate.train.jsonl': [400, ['prompt', 'completion']],
  'pirate.eval.jsonl': [60, ['prompt', 'completion']],
  'stories.eval.jsonl': [60, ['text']],
  'questions.train.jsonl': [300, ['messages']],
  'questions.eval.jsonl': [60, ['messages']],
  'alpaca.jsonl': [300, ['instruction', 'input', 'output']],
  'tasks/rhyme.jsonl': [160, ['prompt', 'completion']],
  'tasks/letters.jsonl': [160, ['prompt', 'completion']],
  'tasks/weather.jsonl': [160, ['prompt', 'completion']],
  'uuid-pairs.jsonl': [256, ['prompt', 'completion']],
};

test('committed files are what the scripts make', async () => {
  const made = (await files).committedFiles();
  const stale = Object.entries(made)
    .filter(([path, content]) => readFileSync(join(process.cwd(), path), 'utf8') !== content)
    .map(([path]) => path);
  assert.deepEqual(stale, [], 'Run `npm run make-sample -- --data-only`.');
  assert.deepEqual(
    Object.keys(made)
      .filter((path) => path.startsWith('samples/data/'))
      .map((path) => path.slice('samples/data/'.length))
      .sort(),
    Object.keys(datasets).sort(),
  );
});

for (const [name, [count, columns]] of Object.entries(datasets)) {
  test(`${name} has its rows and columns, and no row twice`, () => {
    assert.ok(statSync(join(samples, 'data', name)).size < 300 * 1024);
    const rows = rowsOf(name);
    assert.equal(rows.length, count);
    for (const row of rows) assert.deepEqual(Object.keys(row), columns);
    assert.equal(new Set(rows.map((row) => JSON.stringify(row))).size, count);
    assert.ok(!/[{}]|undefined/.test(rows.flatMap(textsOf).join('')));
  });
}

test('rows stay under 256 tokens', () => {
  const read = (name: string) => JSON.parse(readFileSync(join(samples, 'base', name), 'utf8'));
  const tokenizer = new Tokenizer(read('tokenizer.json'), read('tokenizer_config.json'));
  for (const name of Object.keys(datasets)) {
    // A chat adds six tokens of its own, an Alpaca prompt 118.
    const added = name.startsWith('questions') ? 8 : name.startsWith('alpaca') ? 118 : 1;
    const longest = Math.max(
      ...rowsOf(name).map((row) => tokenizer.encode(textsOf(row).join('')).ids.length + added),
    );
    assert.ok(longest <= 256, `${name}: ${longest} tokens`);
  }
});

test('training and held-out rows share nothing', async () => {
  for (const [set, key] of [
    ['pirate', 'prompt'],
    ['questions', 'messages'],
  ] as const) {
    const seen = new Set(rowsOf(`${set}.train.jsonl`).map((row) => JSON.stringify(row[key])));
    assert.deepEqual(
      rowsOf(`${set}.eval.jsonl`).filter((row) => seen.has(JSON.stringify(row[key]))),
      [],
    );
  }
  const corpus = Object.values(await pretraining).join('');
  for (const { text } of rowsOf('stories.eval.jsonl')) assert.ok(!corpus.includes(JSON.stringify(text)));
});

test('pirates speak as pirates, and answers stand in their stories', () => {
  for (const { completion } of rowsOf('pirate.train.jsonl') as { completion: string }[]) {
    assert.match(completion, /^ Arr, .*Arr!$/);
    assert.doesNotMatch(completion, /\b(and|said|was|is|friend|friends)\b/);
  }
  for (const { messages } of rowsOf('questions.train.jsonl') as {
    messages: { role: string; content: string }[];
  }[]) {
    const [question, answer] = messages.map(({ content }) => content.toLowerCase());
    const evidence = answer!.replace(/^(an?|the|to|they|he|she) /, '').replace(/\.$/, '');
    assert.ok(question!.includes(evidence), `${question} → ${answer}`);
  }
});

test('recipes name files that exist or that the scripts make', async () => {
  const made = Object.keys(await pretraining);
  for (const name of ['pretrain', 'pirate', 'questions']) {
    const path = join(samples, `${name}.lora.yaml`);
    const recipe = parse(readFileSync(path, 'utf8'));
    for (const named of [recipe.dataset, recipe.eval_dataset].flat()) {
      const file = resolve(dirname(path), named);
      assert.ok(existsSync(file) || made.includes(relative(process.cwd(), file)), `${name}: ${named}`);
    }
  }
});

test('random weights are a sound checkpoint below 5.6 MB, the same for a seed', async () => {
  const { modelConfig, randomWeights, tensorShapes } = await checkpoint;
  const bytes = randomWeights(modelConfig, 1);
  assert.ok(bytes.equals(randomWeights(modelConfig, 1)));
  assert.ok(!bytes.equals(randomWeights(modelConfig, 2)));
  assert.ok(bytes.length < 5.6e6, `${bytes.length} bytes`);

  const headerEnd = 8 + Number(bytes.readBigUInt64LE(0));
  assert.equal(headerEnd % 8, 0);
  const header = JSON.parse(bytes.toString('utf8', 8, headerEnd));
  let end = 0;
  for (const [name, shape] of tensorShapes(modelConfig)) {
    const size = 4 * shape.reduce((product, length) => product * length, 1);
    assert.deepEqual(header[name], { dtype: 'F32', shape, data_offsets: [end, end + size] });
    end += size;
  }
  assert.equal(headerEnd + end, bytes.length);

  const [first, last] = header['model.embed_tokens.weight'].data_offsets as [number, number];
  const values = Array.from({ length: (last - first) / 4 }, (_, i) =>
    bytes.readFloatLE(headerEnd + first + 4 * i),
  );
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  assert.ok(
    Math.abs(mean) < 3e-4 && Math.abs(deviation - 0.02) < 3e-4,
    `mean ${mean}, deviation ${deviation}`,
  );
});

test('the trained weights have the same tensors', {
  skip: !existsSync(join(samples, 'base/model.safetensors')),
}, async () => {
  const { modelConfig, tensorShapes } = await checkpoint;
  const bytes = readFileSync(join(samples, 'base/model.safetensors'));
  assert.ok(bytes.length < 6e6);
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0))));
  const found = Object.entries(header as Record<string, { dtype: string; shape: number[] }>).filter(
    ([name]) => name !== '__metadata__',
  );
  assert.deepEqual(
    Object.fromEntries(found.map(([name, { shape }]) => [name, shape])),
    Object.fromEntries(tensorShapes(modelConfig)),
  );
  assert.ok(found.every(([, { dtype }]) => dtype === 'F32'));
});

/** All texts of a row, in reading order. */
function textsOf(row: Row): string[] {
  return Object.values(row).flatMap((value) =>
    Array.isArray(value) ? value.map((message: { content: string }) => message.content) : [String(value)],
  );
}
