// Tokenizers and datasets as strangers leave them: each is refused through the real terminal with file, row and remedy,
// before a run's folder is made.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type BadInput, describeBadInput, lfsPointer, type Workspace } from './badInput';

const tokenizer = 'base/tokenizer.json';
const good = '{"prompt":"hello","completion":" you"}\n';
const parquet = (): Buffer =>
  readFileSync(join(process.cwd(), 'test', 'fixtures', 'data', 'nested-snappy.parquet'));

/** Trains on a dataset of this name and content. */
function dataset(name: string, content: string | (() => Uint8Array), settings = {}): BadInput['spoil'] {
  return (at) => {
    at.write(name, typeof content === 'string' ? content : content());
    return at.train({ dataset: name, ...settings });
  };
}

function brokenTokenizer(change: (at: Workspace) => void): BadInput['spoil'] {
  return (at) => {
    change(at);
    return at.train();
  };
}

const rows = (...values: unknown[]): string => values.map((value) => JSON.stringify(value)).join('\n');
const turn = (role: string, content: unknown = 'hello') => ({ role, content });

const cases: BadInput[] = [
  // Tokenizers.
  {
    name: 'a model without a tokenizer',
    spoil: brokenTokenizer((at) => at.remove(tokenizer)),
    code: 'tokenizer-missing',
    says: /base has no tokenizer\.json/,
    human: true,
  },
  {
    name: 'a broken tokenizer.json',
    spoil: brokenTokenizer((at) => at.write(tokenizer, at.bytes(tokenizer).subarray(0, 5000))),
    code: 'tokenizer-broken',
    says: /base\/tokenizer\.json: it is not whole JSON/,
    remedy: /Download tokenizer\.json again/,
  },
  {
    name: 'a git-LFS pointer in place of the tokenizer',
    spoil: brokenTokenizer((at) => at.write(tokenizer, lfsPointer)),
    code: 'tokenizer-lfs-pointer',
    says: /tokenizer\.json is a git-LFS pointer/,
    remedy: /git lfs pull/,
  },
  {
    name: 'a tokenizer of an unknown kind',
    spoil: brokenTokenizer((at) => at.change(tokenizer, { model: { type: 'Magic', vocab: {} } })),
    code: 'tokenizer-broken',
    says: /tokenizer\.json: model\.type is "Magic"; known are BPE/,
  },
  {
    name: 'a pre-tokenizer of an unknown kind',
    spoil: brokenTokenizer((at) => at.change(tokenizer, { pre_tokenizer: { type: 'Rune' } })),
    code: 'tokenizer-broken',
    says: /tokenizer\.json: .*Rune/,
  },
  {
    name: 'another model’s tokenizer, with more tokens than the model',
    spoil: (at) => {
      // The rows hold a token that this model has no embedding for.
      const json = JSON.parse(at.bytes(tokenizer).toString());
      at.change(tokenizer, {
        added_tokens: [...json.added_tokens, { id: 5000, content: '<|new|>', special: true }],
      });
      at.write('new.jsonl', rows({ prompt: 'a', completion: 'b' }, { prompt: 'a', completion: 'b<|new|>' }));
      return at.train({ dataset: 'new.jsonl' });
    },
    code: 'tokenizer-model-mismatch',
    says: /new\.jsonl:2 \(row 2\): .*"<\|new\|>" has id 5000, the model's embedding only 1024 rows/,
    remedy: /tokenizer that belongs to the model/,
  },
  {
    name: 'a broken tokenizer_config.json',
    spoil: brokenTokenizer((at) => at.write('base/tokenizer_config.json', '[]')),
    code: 'tokenizer-broken',
    says: /tokenizer_config\.json: it must hold a JSON object/,
  },
  {
    name: 'a broken chat template',
    spoil: (at) => {
      at.change('base/tokenizer_config.json', { chat_template: '{% for m in messages %}' });
      at.write('chat.jsonl', rows({ messages: [turn('user'), turn('assistant')] }));
      return at.train({ dataset: 'chat.jsonl' });
    },
    code: 'chat-template-broken',
    says: /chat template of .*base is not a template.*ends before/,
  },
  // Files.
  {
    name: 'broken lines of JSONL, both named',
    spoil: dataset('d.jsonl', `${good}{"prompt": "x"\n${good}nonsense\n`),
    code: 'dataset-broken-rows',
    says: /d\.jsonl:2 \(row 2\): this is not JSON.*d\.jsonl:4 \(row 4\)/s,
    problems: 2,
    human: true,
  },
  {
    name: 'a JSON list that was cut off',
    spoil: dataset('d.json', `[${good},\n{"prompt": "he`),
    code: 'dataset-broken-rows',
    says: /d\.json.*ends in the middle/s,
  },
  {
    name: 'JSON nested without end',
    spoil: dataset('d.jsonl', `{"prompt": ${'['.repeat(200_000)}\n`),
    code: 'dataset-broken-rows',
    says: /d\.jsonl:1 \(row 1\)/,
  },
  {
    name: 'a ragged CSV',
    spoil: dataset('d.csv', 'prompt,completion\na,b\nc\nd,e,f\n'),
    code: 'dataset-broken-rows',
    says: /d\.csv:3 \(row 2\): the record has 1 fields, the header 2.*d\.csv:4/s,
    problems: 2,
  },
  {
    name: 'Parquet that was cut off',
    spoil: dataset('d.parquet', () => parquet().subarray(0, -300)),
    code: 'dataset-broken-parquet',
    says: /d\.parquet.*cut off/,
    remedy: /again/,
  },
  {
    name: 'Parquet with damaged pages',
    spoil: dataset('d.parquet', () => parquet().fill(0x5a, 4, 1204)),
    code: 'dataset-broken-parquet',
    says: /d\.parquet.*not a whole Parquet file/,
  },
  {
    name: 'a git-LFS pointer in place of Parquet',
    spoil: dataset('d.parquet', lfsPointer),
    code: 'dataset-lfs-pointer',
    says: /d\.parquet is a git-LFS pointer/,
    remedy: /git lfs pull/,
  },
  {
    name: 'an empty dataset',
    spoil: dataset('d.jsonl', ''),
    code: 'dataset-empty',
    says: /d\.jsonl has no rows/,
  },
  {
    name: 'a CSV with a header alone',
    spoil: dataset('d.csv', 'prompt,completion\n'),
    code: 'dataset-empty',
    says: /d\.csv has no rows/,
  },
  {
    name: 'a folder in place of a dataset',
    spoil: (at) => {
      mkdirSync(at.at('d'));
      return at.train({ dataset: 'd' });
    },
    code: 'dataset-is-folder',
    says: /\/d is a folder/,
  },
  {
    name: 'a binary file in place of a dataset',
    spoil: (at) => at.train({ dataset: 'base/model.safetensors' }),
    code: 'dataset-not-utf8',
    says: /model\.safetensors/,
  },
  {
    name: 'UTF-16',
    spoil: dataset('d.jsonl', () => Buffer.from(`\uFEFF${good}`, 'utf16le')),
    code: 'dataset-not-utf8',
    says: /d\.jsonl is UTF-16 text/,
    remedy: /UTF-8/,
  },
  {
    name: 'two bad datasets, both named',
    spoil: (at) => {
      at.write('a.jsonl', lfsPointer);
      mkdirSync(at.at('b'));
      return at.train({ dataset: ['a.jsonl', 'b'] });
    },
    code: 'dataset-unreadable',
    says: /a\.jsonl.*git-LFS.*\/b.*folder/s,
    problems: 2,
  },
  // Rows.
  {
    name: 'columns of no known shape',
    spoil: dataset('d.jsonl', rows({ question: 'q', answer: 'a' })),
    code: 'dataset-unknown-shape',
    says: /d\.jsonl.*columns question, answer/s,
    remedy: /columns: \{prompt: question/,
  },
  {
    name: 'a mapping to a column that is not there',
    spoil: dataset('d.jsonl', rows({ q: 'a', a: 'b' }), {
      dataset: [{ path: 'd.jsonl', columns: { prompt: 'question', completion: 'a' } }],
    }),
    code: 'dataset-missing-column',
    says: /d\.jsonl.*prompt: question.*Its columns: q, a/s,
  },
  {
    name: 'rows of wrong types',
    spoil: dataset('d.jsonl', good + rows({ prompt: 1, completion: ['x'] }, { prompt: 'a' })),
    code: 'dataset-broken-rows',
    says: /d\.jsonl:2 \(row 2\).*d\.jsonl:3 \(row 3\): completion is missing/s,
  },
  {
    name: 'unknown roles',
    spoil: dataset('d.jsonl', rows({ messages: [turn('user'), turn('narrator')] })),
    code: 'dataset-unknown-role',
    says: /d\.jsonl:1 \(row 1\): messages\[1\] has the unknown role "narrator"/,
  },
  {
    name: 'no trained token at all',
    spoil: dataset('d.jsonl', rows({ messages: [turn('user')] }, { messages: [turn('user')] })),
    code: 'dataset-no-trained-token',
    says: /No row of dataset has a token to train on \(2 rows read\)/,
    human: true,
  },
  {
    name: 'answers that are all cut off',
    spoil: dataset('d.jsonl', rows({ prompt: 'hello '.repeat(90), completion: 'you' })),
    code: 'dataset-no-trained-token',
    says: /d\.jsonl|No row of dataset/,
    remedy: /Raise max_length/,
  },
  {
    name: 'rows that are too long where that is an error',
    spoil: dataset('d.jsonl', good + rows({ prompt: 'hello '.repeat(90), completion: 'you' }), {
      truncation: 'error',
    }),
    code: 'dataset-row-too-long',
    says: /d\.jsonl:2 \(row 2\)/,
  },
  {
    name: 'a chat template that refuses a row',
    spoil: dataset('d.jsonl', rows({ messages: [turn('user'), turn('assistant')] }), {
      chat_template: "{{ raise_exception('roles must alternate') }}",
    }),
    code: 'chat-template-failed',
    says: /d\.jsonl:1 \(row 1\): the chat template refuses the conversation: roles must alternate/,
  },
  {
    name: 'a held-out part that leaves nothing to train on',
    spoil: dataset('d.jsonl', good, { val_size: 0.5 }),
    code: 'dataset-bad-val-size',
    says: /none is left to train on/,
    remedy: /Lower val_size/,
  },
  {
    name: 'a bad evaluation set',
    spoil: (at) => {
      at.write('e.jsonl', 'nonsense\n');
      return at.train({ eval_dataset: 'e.jsonl' });
    },
    code: 'dataset-broken-rows',
    says: /e\.jsonl:1 \(row 1\)/,
  },
];

describeBadInput('a bad dataset or tokenizer', cases);
