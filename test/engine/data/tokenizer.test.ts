import assert from 'node:assert/strict';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadTokenizer } from '../../../src/engine/data/tokenizer';
import { addSpecial, fixtures, sharedData, tinyTokenizer, tokenizerWith } from './workspace';

test('encodes as the reference library does, with and without special tokens', async () => {
  const tokenizer = await loadTokenizer(tinyTokenizer);
  const goldens: { text: string; ids: number[]; plain: number[] }[] = JSON.parse(
    readFileSync(join(fixtures, 'tiny-bpe-goldens.json'), 'utf8'),
  );
  for (const { text, ids, plain } of goldens) {
    assert.deepEqual(tokenizer.encode(text), ids, JSON.stringify(text));
    assert.deepEqual(tokenizer.encode(text, { specialTokens: false }), plain, JSON.stringify(text));
    assert.equal(tokenizer.decode(plain, { skipSpecialTokens: false }), text);
  }
});

test('knows its special tokens and sizes', async () => {
  const tokenizer = await loadTokenizer(tinyTokenizer);
  assert.equal(tokenizer.bosId, 1);
  assert.equal(tokenizer.eosId, 2);
  assert.deepEqual(tokenizer.eosIds, [2]);
  assert.equal(tokenizer.padId, 0);
  assert.equal(tokenizer.startsWithBos, true);
  const { vocab } = JSON.parse(readFileSync(join(tinyTokenizer, 'tokenizer.json'), 'utf8')).model;
  assert.equal(tokenizer.vocabSize, Math.max(...(Object.values(vocab) as number[])) + 1);
  assert.equal(tokenizer.tokenText(2), '</s>');
  assert.equal(tokenizer.decode([2, 999_999]), '');
});

test('gathers EOS ids from generation_config.json and config.json', async () => {
  const folder = tokenizerWith({ pad_token: null });
  writeFileSync(
    join(folder, 'generation_config.json'),
    JSON.stringify({ eos_token_id: [4, 2], pad_token_id: 3 }),
  );
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ eos_token_id: 2 }));
  const tokenizer = await loadTokenizer(folder);
  assert.deepEqual([...tokenizer.eosIds].sort(), [2, 4]);
  assert.equal(tokenizer.padId, 3);
});

test('special tokens may be objects, and special_tokens_map.json fills gaps', async () => {
  const folder = tokenizerWith({
    bos_token: { content: '<s>', lstrip: false },
    eos_token: null,
    pad_token: null,
  });
  writeFileSync(
    join(folder, 'special_tokens_map.json'),
    JSON.stringify({ eos_token: { content: '<|im_end|>' } }),
  );
  const tokenizer = await loadTokenizer(folder);
  assert.deepEqual([tokenizer.bosId, tokenizer.eosId, tokenizer.padId], [1, 4, 4]);
});

test('add_bos_token and add_eos_token count for Llama classes alone, and never double a token', async () => {
  const ids = async (config: Record<string, unknown>) =>
    (await loadTokenizer(tokenizerWith(config))).encode('hello');
  const hello = (await ids({})).slice(1);
  assert.equal(hello.length, 1);
  assert.deepEqual(await ids({ tokenizer_class: 'LlamaTokenizerFast', add_bos_token: true }), [1, ...hello]);
  assert.deepEqual(await ids({ tokenizer_class: 'LlamaTokenizer', add_bos_token: false }), hello);
  assert.deepEqual(await ids({ tokenizer_class: 'LlamaTokenizer', add_eos_token: true }), [1, ...hello, 2]);
  assert.deepEqual(await ids({ tokenizer_class: 'Qwen2Tokenizer', add_bos_token: false }), [1, ...hello]);
});

test('streams text without broken characters', async () => {
  const tokenizer = await loadTokenizer(tinyTokenizer);
  const text = 'hello ä🙂中 you';
  const stream = tokenizer.stream();
  const pieces = tokenizer.encode(text).map((id) => stream.push(id));
  assert.equal(pieces.join('') + stream.end(), text);
  assert.ok(pieces.every((piece) => !piece.includes('\uFFFD')));
  assert.ok(pieces.filter((piece) => piece === '').length > 4, 'bytes of a character are held back');

  const cut = tokenizer.stream();
  const [first] = tokenizer.encode('🙂', { specialTokens: false });
  assert.equal(cut.push(first!), '');
  assert.equal(cut.end(), '\uFFFD');
});

test('spans of tokens cover the text, white space that a token swallows included', async () => {
  const folder = tokenizerWith({}, (tokenizer) => {
    addSpecial('<|end|>')(tokenizer);
    tokenizer.added_tokens.at(-1)!.rstrip = true;
  });
  const tokenizer = await loadTokenizer(folder);
  const { ids, spans } = tokenizer.encodeWithSpans('hello<|end|>\n ä you');
  assert.ok(spans);
  const bytes = Buffer.from('hello<|end|>\n ä you');
  const texts = ids.map((_, i) => bytes.subarray(spans.starts[i], spans.ends[i]).toString('latin1'));
  assert.equal(texts[0], 'hello');
  assert.equal(texts[1], '<|end|>');
  assert.equal(texts.slice(2).join(''), Buffer.from('ä you').toString('latin1'));
});

test('spans are absent where a normalizer rewrites the text', async () => {
  const folder = tokenizerWith({}, (tokenizer) => {
    tokenizer.normalizer = { type: 'Lowercase' };
  });
  const tokenizer = await loadTokenizer(folder);
  assert.equal(tokenizer.encodeWithSpans('HELLO').spans, null);
  assert.ok(tokenizer.encodeWithSpans('hello').spans);
});

test('reads a chat template from the config, a named list or a file of its own', async () => {
  const template = async (config: Record<string, unknown>, file?: string) => {
    const folder = tokenizerWith(config);
    if (file) writeFileSync(join(folder, 'chat_template.jinja'), file);
    return (await loadTokenizer(folder)).chatTemplate;
  };
  assert.equal(await template({ chat_template: 'x' }), 'x');
  assert.equal(await template({ chat_template: null }), null);
  const named = [
    { name: 'tool_use', template: 't' },
    { name: 'default', template: 'd' },
  ];
  assert.equal(await template({ chat_template: named }), 'd');
  assert.equal(await template({ chat_template: 'x' }, 'file'), 'file');
  await assert.rejects(
    template({ chat_template: [{ name: 'a' }, { name: 'b' }] }),
    /named "default" \(found a, b\)/,
  );
});

const gpt2 = join(sharedData, 'tokenizers/gpt2');
test('GPT-2 gives the ids of its test vectors', { skip: !existsSync(gpt2) }, async () => {
  const tokenizer = await loadTokenizer(gpt2);
  const vectors = join(sharedData, 'tokenizers/vectors');
  const texts = readFileSync(join(vectors, 'gpt-2.inp'), 'utf8').split('\n__ggml_vocab_test__\n');
  const ids = readFileSync(join(vectors, 'gpt-2.out'), 'utf8').trimEnd().split('\n');
  let compared = 0;
  texts.forEach((text, i) => {
    if (ids[i] === undefined) return;
    const expected = ids[i].trim() === '' ? [] : ids[i].trim().split(/\s+/).map(Number);
    assert.deepEqual(tokenizer.encode(text), expected, JSON.stringify(text));
    assert.equal(tokenizer.decode(expected), text);
    compared++;
  });
  assert.ok(compared >= 40, `${compared} vectors`);
});

const stories = join(sharedData, 'stories260k');
test('a SentencePiece-style tokenizer round-trips and puts BOS first', {
  skip: !existsSync(stories),
}, async () => {
  const tokenizer = await loadTokenizer(stories);
  const text = 'Once upon a time, there was a ☃ named Lily.  She ran.';
  const ids = tokenizer.encode(text);
  assert.equal(ids[0], 1);
  assert.equal(ids.filter((id) => id === 1).length, 1);
  assert.equal(tokenizer.decode(ids), text);
  const stream = tokenizer.stream();
  assert.equal(ids.map((id) => stream.push(id)).join('') + stream.end(), text);
  assert.equal(tokenizer.vocabSize, 512);
  assert.ok(tokenizer.encodeWithSpans(text).spans);
});
