// Datasets and tokenizers as strangers leave them: each is refused with its place, what was expected, and a remedy. Long because
// it is one table of broken files.
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { DataOptions } from '../../../src/engine/data/prepare';
import { prepareData } from '../../../src/engine/data/prepare';
import { loadTokenizer } from '../../../src/engine/data/tokenizer';
import { DataError } from '../../../src/engine/errors';
import { addSpecial, fileOf, fixtures, jsonl, newFolder, tinyTokenizer, tokenizerWith } from './workspace';

interface Expectation {
  code: string;
  message: RegExp;
  remedy: RegExp;
  /** How many problems are listed. */
  problems?: number;
}

/** One clear message: a DataError with this code, place and remedy. */
async function refused(work: Promise<unknown>, expected: Expectation): Promise<void> {
  await assert.rejects(work, (error: unknown) => {
    assert.ok(error instanceof DataError, String(error instanceof Error ? error.stack : error));
    assert.equal(error.code, expected.code, error.message);
    assert.match(error.message, expected.message);
    assert.match(error.remedy, expected.remedy);
    if (expected.problems !== undefined) assert.equal(error.problems.length, expected.problems);
    return true;
  });
}

const data = async (dataset: DataOptions['dataset'], more: Partial<DataOptions> = {}) =>
  prepareData({ tokenizer: await loadTokenizer(tinyTokenizer), dataset, ...more });

const parquet = readFileSync(join(fixtures, 'nested-snappy.parquet'));
const good = '{"prompt":"hello","completion":" you"}\n';
const chatRow = (role: string) => ({
  messages: [
    { role: 'user', content: 'q' },
    { role, content: 'a' },
  ],
});

const files: Record<string, [() => Promise<unknown>, Expectation]> = {
  'a missing file': [
    () => data('/nowhere/rows.jsonl'),
    { code: 'dataset-missing', message: /\/nowhere\/rows\.jsonl does not exist/, remedy: /Check the path/ },
  ],
  'two missing files are both named': [
    () => data(['/nowhere/a', '/nowhere/b']),
    {
      code: 'dataset-unreadable',
      message: /nowhere\/a .*nowhere\/b /s,
      remedy: /Check the path/,
      problems: 2,
    },
  ],
  'a folder in place of a file': [
    () => data(newFolder()),
    { code: 'dataset-is-folder', message: /is a folder, expected a dataset file/, remedy: /List the files/ },
  ],
  'no file at all': [
    () => data([]),
    { code: 'dataset-empty', message: /dataset names no file/, remedy: /at least one file/ },
  ],
  'an empty file': [
    () => data(fileOf('a.jsonl', '')),
    { code: 'dataset-empty', message: /a\.jsonl has no rows/, remedy: /at least one row/ },
  ],
  'a file of blank lines': [
    () => data(fileOf('a.jsonl', '\n\n  \n')),
    { code: 'dataset-empty', message: /has no rows/, remedy: /at least one row/ },
  ],
  'an empty JSON list': [
    () => data(fileOf('a.json', '[]')),
    { code: 'dataset-empty', message: /has no rows/, remedy: /at least one row/ },
  ],
  'a CSV with a header alone': [
    () => data(fileOf('a.csv', 'prompt,completion\n')),
    { code: 'dataset-empty', message: /has no rows/, remedy: /at least one row/ },
  ],
  'a blank text file': [
    () => data(fileOf('a.txt', ' \n \n')),
    { code: 'dataset-empty', message: /has no rows/, remedy: /at least one row/ },
  ],
  'a git-LFS pointer': [
    () => data(fileOf('a.jsonl', 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n')),
    { code: 'dataset-lfs-pointer', message: /git-LFS pointer/, remedy: /git lfs pull/ },
  ],
  'broken JSON at two lines, both named': [
    () => data(fileOf('a.jsonl', `${good}{"prompt": "x"\n${good}nonsense\n`)),
    {
      code: 'dataset-broken-rows',
      message: /2 rows cannot be used:.*a\.jsonl:2 \(row 2\): this is not JSON.*a\.jsonl:4 \(row 4\)/s,
      remedy: /Mend the JSON/,
      problems: 2,
    },
  ],
  'very many broken rows: some listed, all counted': [
    () => data(fileOf('a.jsonl', good + 'x\n'.repeat(500))),
    {
      code: 'dataset-broken-rows',
      message: /500 rows cannot be used.*… and 480 more/s,
      remedy: /Mend the JSON/,
      problems: 20,
    },
  ],
  'a broken row in a JSON list': [
    () => data(fileOf('a.json', `[\n${good},\n{bad},\n${good}]`)),
    {
      code: 'dataset-broken-rows',
      message: /a\.json:4 \(row 2\): this is not JSON/,
      remedy: /Mend the JSON/,
      problems: 1,
    },
  ],
  'a JSON list cut off': [
    () => data(fileOf('a.json', `[${good},\n{"prompt": "he`)),
    {
      code: 'dataset-broken-rows',
      message: /ends in the middle/,
      remedy: /Write the file again/,
      problems: 1,
    },
  ],
  'rows that are not objects': [
    () => data(fileOf('a.jsonl', '[1]\n[2]\n')),
    { code: 'dataset-unknown-shape', message: /rows are not objects/, remedy: /Write each row as an object/ },
  ],
  'invalid UTF-8 in a line': [
    () => data(fileOf('a.jsonl', Buffer.from(`${good}{"prompt":"\xff","completion":"x"}\n`, 'latin1'))),
    {
      code: 'dataset-not-utf8',
      message: /a\.jsonl:2 \(row 2\): the text is not valid UTF-8/,
      remedy: /Save the file as UTF-8/,
      problems: 1,
    },
  ],
  'invalid UTF-8 in a CSV': [
    () => data(fileOf('a.csv', Buffer.from('prompt,completion\na,b\n\xe4,c\n', 'latin1'))),
    { code: 'dataset-not-utf8', message: /a\.csv:3: the text is not valid UTF-8/, remedy: /UTF-8/ },
  ],
  'invalid UTF-8 in a JSON list': [
    () => data(fileOf('a.json', Buffer.from('[{"text":"\xe4"}]', 'latin1'))),
    { code: 'dataset-not-utf8', message: /a\.json: the text is not valid UTF-8/, remedy: /UTF-8/ },
  ],
  'UTF-16': [
    () => data(fileOf('a.txt', Buffer.from('\uFEFFhello', 'utf16le'))),
    { code: 'dataset-not-utf8', message: /is UTF-16 text/, remedy: /Save the file as UTF-8/ },
  ],
  'a binary file': [
    () => data(fileOf('a.jsonl', Buffer.from([1, 0, 2, 0, 10]))),
    { code: 'dataset-not-utf8', message: /not a text file/, remedy: /Give a JSONL/ },
  ],
  'a ragged CSV': [
    () => data(fileOf('a.csv', 'prompt,completion\na,b\nc\nd,e,f\n')),
    {
      code: 'dataset-broken-rows',
      message:
        /a\.csv:3 \(row 2\): the record has 1 fields, the header 2.*a\.csv:4 \(row 3\): the record has 3/s,
      remedy: /as many fields as the header/,
      problems: 2,
    },
  ],
  'a CSV with an open quote': [
    () => data(fileOf('a.csv', 'prompt,completion\na,"b\nc,d\n')),
    { code: 'dataset-broken-rows', message: /Quote Not Closed/, remedy: /double quotes/, problems: 1 },
  ],
  'a CSV header with a column twice': [
    () => data(fileOf('a.csv', 'text,text\na,b\n')),
    { code: 'dataset-broken-header', message: /the column text twice/, remedy: /a name of its own/ },
  ],
  'truncated Parquet': [
    () => data(fileOf('a.parquet', parquet.subarray(0, parquet.length - 300))),
    {
      code: 'dataset-broken-parquet',
      message: /does not end with PAR1, so it was cut off/,
      remedy: /Download or write the file again/,
    },
  ],
  'something else named Parquet': [
    () => data(fileOf('a.parquet', good)),
    { code: 'dataset-broken-parquet', message: /does not begin with PAR1/, remedy: /Download/ },
  ],
  'Parquet whose footer lies about its length': [
    () => {
      const lying = Buffer.from(parquet);
      lying.writeUInt32LE(0x7fffffff, lying.length - 8);
      return data(fileOf('a.parquet', lying));
    },
    { code: 'dataset-broken-parquet', message: /not a whole Parquet file/, remedy: /Download/ },
  ],
  'Parquet with damaged pages': [
    () =>
      data(
        fileOf(
          'a.parquet',
          Buffer.concat([parquet.subarray(0, 4), Buffer.alloc(1200, 0x5a), parquet.subarray(1204)]),
        ),
      ),
    { code: 'dataset-broken-parquet', message: /not a whole Parquet file/, remedy: /Download/ },
  ],
  'columns of no known shape': [
    () => data(jsonl([{ question: 'q', answer: 'a' }])),
    {
      code: 'dataset-unknown-shape',
      message: /columns question, answer match no known shape/,
      remedy: /columns: \{prompt: question, completion: answer\}/,
    },
  ],
  'a mapping to a missing column': [
    () => data({ path: jsonl([{ q: 'a', a: 'b' }]), columns: { prompt: 'question', completion: 'a' } }),
    {
      code: 'dataset-missing-column',
      message: /does not have \(prompt: question\)\. Its columns: q, a/,
      remedy: /Correct the column names/,
    },
  ],
  'a mapping with an unknown name': [
    () => data({ path: jsonl([{ q: 'a' }]), columns: { prompts: 'q' } as never }),
    {
      code: 'dataset-unknown-mapping',
      message: /unknown name prompts; known are messages/,
      remedy: /columns: \{prompt/,
    },
  ],
  'a row that lacks a column': [
    () => data(jsonl([{ prompt: 'a', completion: 'b' }, { prompt: 'a' }, { prompt: 1, completion: [] }])),
    {
      code: 'dataset-broken-rows',
      message: /row 2\): completion is missing, expected text/,
      remedy: /Make completion text in every row/,
    },
  ],
  'an unknown role': [
    () => data(jsonl([chatRow('assistant'), chatRow('narrator')])),
    {
      code: 'dataset-unknown-role',
      message: /:2 \(row 2\): messages\[1\] has the unknown role "narrator"/,
      remedy: /Use one of the roles system, user, assistant, tool/,
      problems: 1,
    },
  ],
  'empty messages': [
    () => data(jsonl([chatRow('assistant'), { messages: [] }])),
    {
      code: 'dataset-broken-rows',
      message: /:2 \(row 2\): messages is an empty list/,
      remedy: /at least one user/,
    },
  ],
  'no trained token in any row': [
    () => data(jsonl([chatRow('user'), chatRow('user')])),
    {
      code: 'dataset-no-trained-token',
      message: /No row of dataset has a token to train on \(2 rows read\)/,
      remedy: /train_on: all/,
    },
  ],
  'no trained token in the evaluation set': [
    () => data(jsonl([chatRow('assistant')]), { eval_dataset: jsonl([chatRow('user')]) }),
    { code: 'dataset-no-trained-token', message: /No row of eval_dataset/, remedy: /train_on: all/ },
  ],
  'every answer cut off': [
    () => data(jsonl([{ prompt: 'hello hello hello', completion: ' you' }]), { max_length: 3 }),
    { code: 'dataset-no-trained-token', message: /by truncation/, remedy: /Raise max_length/ },
  ],
  'a nonsense max_length': [
    () => data(jsonl([{ text: 'a' }]), { max_length: 0 }),
    { code: 'dataset-bad-max-length', message: /max_length is 0/, remedy: /Set max_length/ },
  ],
  'val_size and eval_dataset together': [
    () => data(jsonl([{ text: 'a' }]), { val_size: 0.1, eval_dataset: '/nowhere' }),
    { code: 'dataset-two-evals', message: /Both eval_dataset and val_size/, remedy: /Keep one/ },
  ],
  'val_size that leaves nothing': [
    () => data(jsonl([{ text: 'hello' }]), { val_size: 0.5 }),
    { code: 'dataset-bad-val-size', message: /none is left to train on/, remedy: /Lower val_size/ },
  ],
  'a template that raises': [
    () =>
      data(jsonl([chatRow('assistant'), chatRow('assistant')]), {
        chat_template: "{{ raise_exception('roles must alternate') }}",
      }),
    {
      code: 'chat-template-failed',
      message: /:1 \(row 1\): the chat template refuses the conversation: roles must alternate.*row 2/s,
      remedy: /Change the row/,
      problems: 2,
    },
  ],
  'a template that is none': [
    () => data(jsonl([chatRow('assistant')]), { chat_template: '{% for %}' }),
    {
      code: 'chat-template-broken',
      message: /the chat_template given is not a template/,
      remedy: /give another one/,
    },
  ],
  'a template that would spin': [
    () =>
      data(jsonl([chatRow('assistant')]), { chat_template: '{% for i in range(1000000000) %}x{% endfor %}' }),
    {
      code: 'chat-template-failed',
      message: /range\(\) over more than 100000/,
      remedy: /use another chat_template/,
    },
  ],
  'a template whose text changes with what follows': [
    () =>
      data(jsonl([{ messages: [...chatRow('assistant').messages, ...chatRow('assistant').messages] }]), {
        chat_template: '{% for m in messages %}{% if loop.last %}{{ m.content }}{% endif %}{% endfor %}',
      }),
    {
      code: 'chat-template-inconsistent',
      message: /does not show where message 2 \(assistant\)/,
      remedy: /generation/,
    },
  ],
  'a tokenizer with more tokens than the model': [
    async () =>
      data(jsonl([{ text: 'hello <|new|>' }, { text: 'hello' }]), {
        tokenizer: await loadTokenizer(tokenizerWith({}, addSpecial('<|new|>'))),
        model_vocab_size: (await loadTokenizer(tinyTokenizer)).vocabSize,
      }),
    {
      code: 'tokenizer-model-mismatch',
      message:
        /:1 \(row 1\): the tokenizer's token "<\|new\|>" has id \d+, the model's embedding only \d+ rows/,
      remedy: /Use the tokenizer that belongs to the model/,
      problems: 1,
    },
  ],
};

for (const [what, [work, expected]] of Object.entries(files))
  test(`refused: ${what}`, () => refused(work(), expected));

/** A copy of the tiny tokenizer with one file replaced; null removes it. */
function folderWith(name: string, content: string | null): string {
  const folder = tokenizerWith({});
  if (content === null) rmSync(join(folder, name));
  else writeFileSync(join(folder, name), content);
  return folder;
}
const whole = readFileSync(join(tinyTokenizer, 'tokenizer.json'), 'utf8');
const changed = (change: (json: Record<string, never>) => unknown) => {
  const json = JSON.parse(whole);
  return folderWith('tokenizer.json', JSON.stringify(change(json) ?? json));
};
const download = /Download .* again/;

const tokenizers: Record<string, [() => string, Expectation]> = {
  'no folder': [
    () => '/nowhere/model',
    {
      code: 'tokenizer-missing-folder',
      message: /\/nowhere\/model is missing/,
      remedy: /Give the path of the folder/,
    },
  ],
  'a file in place of the folder': [
    () => fileOf('x', 'y'),
    { code: 'tokenizer-missing-folder', message: /is not a folder/, remedy: /Give the path/ },
  ],
  'no tokenizer.json': [
    () => folderWith('tokenizer.json', null),
    { code: 'tokenizer-missing', message: /has no tokenizer\.json\./, remedy: /Download tokenizer\.json/ },
  ],
  'an older tokenizer alone': [
    () => {
      const folder = folderWith('tokenizer.json', null);
      writeFileSync(join(folder, 'tokenizer.model'), 'x');
      return folder;
    },
    {
      code: 'tokenizer-missing',
      message: /only tokenizer\.model, the older form/,
      remedy: /save_pretrained/,
    },
  ],
  'tokenizer.json is a folder': [
    () => {
      const folder = folderWith('tokenizer.json', null);
      mkdirSync(join(folder, 'tokenizer.json'));
      return folder;
    },
    { code: 'tokenizer-broken', message: /cannot be read/, remedy: download },
  ],
  'a truncated tokenizer.json': [
    () => folderWith('tokenizer.json', whole.slice(0, 3000)),
    { code: 'tokenizer-broken', message: /not whole JSON/, remedy: download },
  ],
  'an empty tokenizer.json': [
    () => folderWith('tokenizer.json', ''),
    { code: 'tokenizer-broken', message: /it is empty/, remedy: download },
  ],
  'a git-LFS pointer': [
    () => folderWith('tokenizer.json', 'version https://git-lfs.github.com/spec/v1\n'),
    { code: 'tokenizer-lfs-pointer', message: /git-LFS pointer/, remedy: /git lfs pull/ },
  ],
  'another JSON file under its name': [
    () => folderWith('tokenizer.json', '{"model_type": "llama"}'),
    { code: 'tokenizer-broken', message: /no "model" object/, remedy: download },
  ],
  'a list': [
    () => folderWith('tokenizer.json', '[1]'),
    { code: 'tokenizer-broken', message: /must hold a JSON object/, remedy: download },
  ],
  'an unknown kind of model': [
    () => changed((json) => ({ ...json, model: { type: 'Magic', vocab: {} } })),
    { code: 'tokenizer-broken', message: /model\.type is "Magic"; known are BPE/, remedy: download },
  ],
  'ids that are not numbers': [
    () => changed((json) => ({ ...json, model: { type: 'BPE', vocab: { a: 'x' }, merges: [] } })),
    { code: 'tokenizer-broken', message: /model\.vocab has an id/, remedy: download },
  ],
  'ids beyond reason': [
    () => changed((json) => ({ ...json, model: { type: 'BPE', vocab: { a: 2 ** 40 }, merges: [] } })),
    { code: 'tokenizer-broken', message: /model\.vocab has an id/, remedy: download },
  ],
  'no merges': [
    () => changed((json) => ({ ...json, model: { type: 'BPE', vocab: { a: 1 } } })),
    { code: 'tokenizer-broken', message: /model\.merges is missing/, remedy: download },
  ],
  'added tokens of the wrong form': [
    () => changed((json) => ({ ...json, added_tokens: [{ id: -1, content: 'x' }] })),
    { code: 'tokenizer-broken', message: /added_tokens must be a list/, remedy: download },
  ],
  'an unknown pre-tokenizer': [
    () => changed((json) => ({ ...json, pre_tokenizer: { type: 'Magic' } })),
    { code: 'tokenizer-broken', message: /cannot be built/, remedy: download },
  ],
  'a broken tokenizer_config.json': [
    () => folderWith('tokenizer_config.json', '{'),
    { code: 'tokenizer-broken', message: /tokenizer_config\.json: it is not whole JSON/, remedy: download },
  ],
};
for (const [what, [folder, expected]] of Object.entries(tokenizers)) {
  test(`tokenizer refused: ${what}`, () => refused(loadTokenizer(folder()), expected));
}

test('refused: a file without permission to read', {
  skip: process.platform === 'win32' || process.getuid?.() === 0,
}, async () => {
  const file = jsonl([{ text: 'hello' }]);
  chmodSync(file, 0o000);
  await refused(data(file), { code: 'dataset-unreadable', message: /cannot be read/, remedy: /permissions/ });
});

test('a byte order mark is no mistake', async () => {
  assert.equal((await data(fileOf('a.jsonl', `\uFEFF${good}`))).train.length, 1);
  assert.equal((await data(fileOf('a.json', `\uFEFF[${good}]`))).train.length, 1);
});
