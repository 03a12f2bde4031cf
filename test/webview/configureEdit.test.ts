// Edits of a recipe's text keep everything else as it stands.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { editRecipe, smallestChange } from '../../src/extension/webviews/configureEdit';

const order = ['model', 'dataset', 'adapter', 'r', 'lora_alpha', 'target_modules', 'learning_rate', 'seed'];
const text = `# What this is.
model: base   # the base
dataset: "data.jsonl"

adapter: lora
r: 16 # rank
target_modules:
  # attention only
  - q_proj
  - v_proj

learning_rate: 5.0e-3
`;
const edit = (from: string, ...edits: Parameters<typeof editRecipe>[2]): string =>
  editRecipe(from, false, edits, order);

test('a changed scalar changes its own letters alone', () => {
  assert.equal(edit(text, { key: 'r', value: 32 }), text.replace('r: 16 #', 'r: 32 #'));
  assert.equal(edit(text, { key: 'dataset', value: 'b.jsonl' }), text.replace('"data.jsonl"', 'b.jsonl'));
});

test('a new key goes behind its neighbour in the order of settings', () => {
  assert.equal(
    edit(text, { key: 'lora_alpha', value: 8 }),
    text.replace('# rank\n', '# rank\nlora_alpha: 8\n'),
  );
  assert.equal(edit(text, { key: 'seed', value: 1 }), `${text}seed: 1\n`);
});

test('a removed key takes its lines and no comment of another', () => {
  assert.equal(edit(text, { key: 'r' }), text.replace('r: 16 # rank\n', ''));
  assert.equal(parse(edit(text, { key: 'target_modules' })).target_modules, undefined);
  assert.match(edit(text, { key: 'target_modules' }), /learning_rate: 5\.0e-3/);
  assert.equal(edit(text, { key: 'nothing' }), text);
});

test('lists replace scalars and scalars lists', () => {
  const listed = edit(text, { key: 'target_modules', value: ['q_proj', 'k_proj'] });
  assert.deepEqual(parse(listed).target_modules, ['q_proj', 'k_proj']);
  assert.match(listed, /# What this is\./);
  assert.equal(
    parse(edit(listed, { key: 'target_modules', value: 'all-linear' })).target_modules,
    'all-linear',
  );
  assert.deepEqual(parse(edit(text, { key: 'seed', value: { a: 1 } })).seed, { a: 1 });
});

test('a key is renamed in its place', () => {
  assert.equal(edit(text, { key: 'adapter', rename: 'method' }), text.replace('adapter:', 'method:'));
});

test('empty texts, flow mappings, missing values and strange strings read back as meant', () => {
  assert.deepEqual(parse(edit('', { key: 'model', value: 'm' })), { model: 'm' });
  assert.deepEqual(parse(edit('{ model: a, r: 4 }', { key: 'r', value: 8 })), { model: 'a', r: 8 });
  assert.deepEqual(parse(edit('model:\ndataset: d\n', { key: 'model', value: 'm' })), {
    model: 'm',
    dataset: 'd',
  });
  for (const value of ['yes', '# no', 'a: b', '1e3', ' x ', 'line\nbreak', '🙂'])
    assert.equal(parse(edit(text, { key: 'model', value })).model, value);
});

test('JSON keeps its order and indent', () => {
  const json = '{\n    "model": "a",\n    "r": 4\n}\n';
  const edits = [
    { key: 'r', value: 8 },
    { key: 'seed', value: 1 },
  ];
  assert.equal(editRecipe(json, true, edits, order), '{\n    "model": "a",\n    "r": 8,\n    "seed": 1\n}\n');
});

test('the smallest change turns one text into the other', () => {
  const { start, end, text: middle } = smallestChange('r: 16\n', 'r: 186\n');
  assert.equal(`r: 16\n`.slice(0, start) + middle + 'r: 16\n'.slice(end), 'r: 186\n');
  assert.equal(middle, '8');
});
