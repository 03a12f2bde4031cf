// The committed tokenizer: every text comes back, words are short, special tokens are one id each, the chat template fits.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { Template } from '@huggingface/jinja';
import { Tokenizer } from '@huggingface/tokenizers';
import { load, samples, type TokenizerModule } from './modules';

const read = (name: string) => JSON.parse(readFileSync(join(samples, 'base', name), 'utf8'));
const file = read('tokenizer.json');
const config = read('tokenizer_config.json');
const tokenizer = new Tokenizer(file, config);
const ids = (text: string): number[] => tokenizer.encode(text).ids;

test('any text comes back', () => {
  const texts = [
    'Once upon a time, a small fox named Pip lived by the pond.',
    'Grüße, naïve café — “quotes” … ½ €',
    '日本語 한국어 العربية हिन्दी',
    '🙂👩‍👩‍👧‍👦🏴‍☠️ \u200d\u00a0\u00ad',
    'a\tb\r\n\n\n  c   ',
    '\u0000\u0001\u007f',
    "Don't, I'll, x'S 12345 _a-b_ {\"k\": [1]}",
  ];
  for (const text of texts) {
    assert.equal(
      tokenizer.decode(ids(text), { skip_special_tokens: false, clean_up_tokenization_spaces: false }),
      text,
    );
  }
});

test('the ids fill the vocabulary without gaps', async () => {
  const { specialTokens, vocabularySize } = await load<TokenizerModule>('tokenizer.mjs');
  const found = Object.values(file.model.vocab as Record<string, number>).sort((a, b) => a - b);
  assert.deepEqual(
    found,
    Array.from({ length: vocabularySize }, (_, id) => id),
  );
  specialTokens.forEach((token, id) => {
    assert.deepEqual(ids(token), [id]);
  });
  assert.equal(read('config.json').vocab_size, vocabularySize);
});

test('merges go by frequency, then by letters', async () => {
  const { learnMerges } = await load<TokenizerModule>('tokenizer.mjs');
  // "ab" occurs 3 times, "cd" and "ef" twice; the smaller pair wins the tie.
  assert.deepEqual(
    learnMerges(
      ['ab', 'ab', 'ab', 'ef', 'ef', 'cd', 'cd'].map((word) => `${word}\n`),
      3,
    ),
    [
      ['a', 'b'],
      ['c', 'd'],
      ['e', 'f'],
    ],
  );
  assert.throws(() => learnMerges(['abc'], 5), /only 0 merges/);
});

test('stories take fewer than two tokens a word', () => {
  const rows = readFileSync(join(samples, 'data/stories.eval.jsonl'), 'utf8').trim().split('\n');
  const texts = rows.map((row) => JSON.parse(row).text as string);
  const tokens = texts.reduce((sum, text) => sum + ids(text).length, 0);
  const words = texts.reduce((sum, text) => sum + text.split(' ').length, 0);
  assert.ok(tokens / words < 1.6, `${(tokens / words).toFixed(2)} tokens a word`);
});

test('the chat template closes every turn and opens the answer', () => {
  const messages = [
    { role: 'user', content: 'Hi' },
    { role: 'assistant', content: 'Hello.' },
    { role: 'user', content: 'Bye' },
  ];
  const rendered = new Template(config.chat_template).render({ messages, add_generation_prompt: true });
  assert.equal(
    rendered,
    '<|user|>\nHi<|end|>\n<|assistant|>\nHello.<|end|>\n<|user|>\nBye<|end|>\n<|assistant|>\n',
  );
  assert.deepEqual(read('generation_config.json').eos_token_id, [ids('<|endoftext|>')[0], ids('<|end|>')[0]]);
});
