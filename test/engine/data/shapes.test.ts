import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ColumnMapping } from '../../../src/engine/data/shapes';
import { detectShape } from '../../../src/engine/data/shapes';

const sample = (row: unknown, mapping?: ColumnMapping) => detectShape('f', row, mapping).toSample(row);
const name = (row: unknown, mapping?: ColumnMapping) => detectShape('f', row, mapping).shape;
const ask = { role: 'user', content: 'q' };
const answer = { role: 'assistant', content: 'a' };

test('each shape is named by its columns', () => {
  assert.equal(name({ messages: [ask, answer], extra: 1 }), 'messages');
  assert.equal(name({ conversations: [] }), 'sharegpt');
  assert.equal(name({ prompt: 'p', completion: 'c', text: 't' }), 'prompt-completion');
  assert.equal(name({ instruction: 'i', input: '', output: 'o' }), 'alpaca');
  assert.equal(name({ text: 't' }), 'text');
});

test('messages: roles by all their names, content as parts, tools as JSON text', () => {
  const row = {
    messages: [
      {
        role: 'developer',
        content: [
          { type: 'text', text: 'be ' },
          { type: 'text', value: 'brief' },
        ],
      },
      { role: 'human', content: 'q' },
      {
        role: 'assistant',
        content: [
          { type: 'reasoning', value: 'hm' },
          { type: 'text', value: 'a' },
        ],
      },
      {
        role: 'assistant',
        content: null,
        tool_calls: [{ id: '1', function: { name: 'f', arguments: '{"x":1}' } }],
      },
      { role: 'function', content: '3', name: 'f' },
    ],
    tools: '[{"name":"f"}]',
  };
  assert.deepEqual(sample(row), {
    kind: 'chat',
    firstTrained: 0,
    tools: [{ name: 'f' }],
    messages: [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'q' },
      { role: 'assistant', content: 'a', reasoning_content: 'hm' },
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ type: 'function', function: { name: 'f', arguments: { x: 1 } } }],
      },
      { role: 'tool', content: '3', name: 'f' },
    ],
  });
});

test('ShareGPT: its roles, function calls and the system column', () => {
  const row = {
    system: 's',
    conversations: [
      { from: 'human', value: 'q' },
      { from: 'function_call', value: '{"name": "f", "arguments": {"x": 1}}' },
      { from: 'observation', value: '3' },
      { from: 'gpt', value: 'a' },
    ],
  };
  const chat = sample(row);
  assert.equal(chat.kind, 'chat');
  assert.deepEqual(chat.kind === 'chat' && chat.messages.map((m) => [m.role, m.content]), [
    ['system', 's'],
    ['user', 'q'],
    ['assistant', ''],
    ['tool', '3'],
    ['assistant', 'a'],
  ]);
});

test('prompt and completion: texts, message lists, or their JSON text', () => {
  assert.deepEqual(sample({ prompt: 'p', completion: 4 }), {
    kind: 'completion',
    prompt: 'p',
    completion: '4',
  });
  const chat = sample({ prompt: [ask], completion: [answer] });
  assert.deepEqual(chat, { kind: 'chat', messages: [ask, answer], tools: null, firstTrained: 1 });
  assert.deepEqual(sample({ prompt: JSON.stringify([ask]), completion: 'a' }), chat);
});

test('Alpaca: optional input, system and history', () => {
  const row = { instruction: 'i', output: 'o', history: [['q', 'a']], system: 's', input: null };
  const expected = {
    kind: 'alpaca',
    instruction: 'i',
    input: '',
    output: 'o',
    system: 's',
    history: [['q', 'a']],
  };
  assert.deepEqual(sample(row), expected);
});

test('a mapping chooses the shape', () => {
  const row = { question: 'q', answer: 'a', text: 't' };
  const mapping = { prompt: 'question', completion: 'answer' };
  assert.deepEqual(sample(row, mapping), { kind: 'completion', prompt: 'q', completion: 'a' });
  assert.deepEqual(sample(row, { text: 'answer' }), { kind: 'text', text: 'a' });
  assert.deepEqual(detectShape('f', row, mapping).columns, mapping);
  assert.equal(name({ dialog: [ask, answer] }, { messages: 'dialog' }), 'messages');
  assert.equal(name({ prompt: 'p', response: 'r' }, { completion: 'response' }), 'prompt-completion');
});

test('unknown columns are named with the mapping that would help', () => {
  assert.throws(
    () => name({ question: 'q', answer: 'a' }),
    (error: Error & { remedy: string }) => {
      assert.match(error.message, /f: the columns question, answer match no known shape/);
      assert.match(error.remedy, /columns: \{prompt: question, completion: answer\}/);
      return true;
    },
  );
  assert.throws(
    () => name({ dialog: [], id: 1 }),
    (error: Error & { remedy: string }) => {
      assert.match(error.remedy, /columns: \{messages: dialog\}/);
      return true;
    },
  );
});

const bad: [string, unknown, RegExp][] = [
  ['a list in place of text', { prompt: 'p', completion: { a: 1 } }, /completion is object, expected text/],
  ['no messages', { messages: [] }, /messages is an empty list/],
  ['messages as a number', { messages: 3 }, /messages is number 3, expected a list of messages/],
  ['messages as broken text', { messages: 'hi' }, /messages is text that is not JSON/],
  ['a message that is a text', { messages: ['hi'] }, /messages\[0\] is string "hi", expected an object/],
  ['a message without a role', { messages: [{ content: 'x' }] }, /messages\[0\]\.role is missing/],
  [
    'an unknown role',
    { messages: [ask, { role: 'narrator', content: 'x' }] },
    /messages\[1\] has the unknown role "narrator"/,
  ],
  [
    'an inherited name as role',
    { messages: [{ role: 'constructor', content: 'x' }] },
    /unknown role "constructor"/,
  ],
  [
    'content that is null',
    { messages: [{ role: 'user', content: null }] },
    /messages\[0\]\.content is null, expected text/,
  ],
  [
    'an image',
    { messages: [{ role: 'user', content: [{ type: 'image', url: 'x' }] }] },
    /part of type "image"/,
  ],
  [
    'a call that is not JSON',
    { conversations: [{ from: 'function_call', value: 'f(1)' }] },
    /function call but not JSON/,
  ],
  [
    'tools that are no list',
    { messages: [ask, answer], tools: '{}' },
    /tools is object, expected a list of tool descriptions/,
  ],
  [
    'a history that is no list of pairs',
    { instruction: 'i', output: 'o', history: [['q']] },
    /history is a list, expected a list of \[question/,
  ],
];
for (const [what, row, message] of bad) {
  test(`refused: ${what}`, () => {
    assert.throws(
      () => sample(row),
      (error: Error & { remedy?: string }) => {
        assert.match(error.message, message);
        assert.ok(error.remedy?.endsWith('.'), 'a remedy');
        return true;
      },
    );
  });
}
