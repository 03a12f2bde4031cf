import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { encodeConversation } from '../../../src/engine/data/conversation';
import type { EncodingOptions } from '../../../src/engine/data/dataset';
import { ExampleEncoder } from '../../../src/engine/data/examples';
import type { ChatMessage } from '../../../src/engine/data/messages';
import type { Sample } from '../../../src/engine/data/shapes';
import type { Tokenizer } from '../../../src/engine/data/tokenizer';
import { loadTokenizer } from '../../../src/engine/data/tokenizer';
import { addSpecial, sharedData, tinyTokenizer, tokenizerWith } from './workspace';

interface Shown {
  /** The whole text, special tokens written out. */
  text: string;
  /** The texts of the runs of trained tokens. */
  trained: string[];
  ids: number[];
  notes: string[];
}

function show(tokenizer: Tokenizer, sample: Sample, options: EncodingOptions = {}): Shown {
  const encoder = new ExampleEncoder(tokenizer, options);
  const { ids, trained } = encoder.encode(sample);
  assert.equal(ids.length, trained.length);
  const decode = (list: number[]) => tokenizer.decode(list, { skipSpecialTokens: false });
  const runs: number[][] = [];
  ids.forEach((id, t) => {
    if (trained[t] !== 1) return;
    if (t === 0 || trained[t - 1] !== 1) runs.push([]);
    runs.at(-1)!.push(id);
  });
  return { text: decode(ids), trained: runs.map(decode), ids, notes: [...encoder.notes] };
}

const chat = (...contents: string[]): Sample => ({
  kind: 'chat',
  firstTrained: 0,
  tools: null,
  messages: contents.map(
    (content, i): ChatMessage => ({ role: i % 2 === 0 ? 'user' : 'assistant', content }),
  ),
});

test('text: BOS once, EOS once and learned, the first token never', async () => {
  const tokenizer = await loadTokenizer(tinyTokenizer);
  const { text, trained } = show(tokenizer, { kind: 'text', text: 'hello world' });
  assert.equal(text, '<s>hello world</s>');
  assert.deepEqual(trained, ['hello world</s>']);
  assert.equal(show(tokenizer, { kind: 'text', text: 'hello</s>' }).text, '<s>hello</s>');
});

test('a completion is learned with EOS, token by token', async () => {
  const tokenizer = await loadTokenizer(tinyTokenizer);
  const encoder = new ExampleEncoder(tokenizer, {});
  const { ids, trained } = encoder.encode({ kind: 'completion', prompt: 'hello', completion: ' the world' });
  assert.deepEqual(
    ids.map((id) => tokenizer.tokenText(id)),
    ['<s>', 'hello', 'Ġthe', 'Ġworld', '</s>'],
  );
  assert.deepEqual([...trained], [0, 0, 1, 1, 1]);
  const all = new ExampleEncoder(tokenizer, { train_on: 'all' }).encode({
    kind: 'completion',
    prompt: 'hello',
    completion: ' the',
  });
  assert.deepEqual([...all.trained], [0, 1, 1, 1]);
});

test('a token across the border of prompt and completion is learned', async () => {
  const tokenizer = await loadTokenizer(tinyTokenizer);
  const { trained } = show(tokenizer, { kind: 'completion', prompt: 'hell', completion: 'o you' });
  assert.deepEqual(trained, ['hello you</s>']);
});

test('masks are the same where tokens must be found without spans', async () => {
  const lower = await loadTokenizer(
    tokenizerWith({}, (tokenizer) => {
      tokenizer.normalizer = { type: 'Lowercase' };
    }),
  );
  const { text, trained } = show(lower, { kind: 'completion', prompt: 'HELLO', completion: ' The World' });
  assert.equal(text, '<s>hello the world</s>');
  assert.deepEqual(trained, [' the world</s>']);
  const talk = show(lower, chat('HELLO', 'The World', 'is', 'You'));
  assert.deepEqual(talk.trained, ['the world<|im_end|>', 'you<|im_end|>']);
});

test('an EOS that the tokenizer adds itself is not doubled', async () => {
  const tokenizer = await loadTokenizer(
    tokenizerWith({}, (json) => {
      const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } });
      json.post_processor = {
        type: 'TemplateProcessing',
        single: [special('<s>'), { Sequence: { id: 'A', type_id: 0 } }, special('</s>')],
        pair: [],
        special_tokens: {
          '<s>': { id: '<s>', ids: [1], tokens: ['<s>'] },
          '</s>': { id: '</s>', ids: [2], tokens: ['</s>'] },
        },
      };
    }),
  );
  assert.equal(show(tokenizer, { kind: 'text', text: 'hello' }).text, '<s>hello</s>');
});

test('conversations: every assistant turn with its end token, nothing else', async () => {
  const tokenizer = await loadTokenizer(tinyTokenizer);
  const { text, trained, ids } = show(tokenizer, chat('hello', 'you is the', 'or?', '2+2 is 4.'));
  assert.equal(
    text,
    '<s><|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\nyou is the<|im_end|>\n<|im_start|>user\nor?<|im_end|>\n<|im_start|>assistant\n2+2 is 4.<|im_end|>\n',
  );
  assert.deepEqual(trained, ['you is the<|im_end|>', '2+2 is 4.<|im_end|>']);
  assert.equal(ids.filter((id) => id === tokenizer.bosId).length, 1);
  assert.deepEqual(show(tokenizer, chat('hello', 'you'), { train_on: 'all' }).trained, [
    '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\nyou<|im_end|>\n',
  ]);
});

test('what generation is asked with is the beginning of what is trained', async () => {
  const tokenizer = await loadTokenizer(tinyTokenizer);
  const encoder = new ExampleEncoder(tokenizer, {});
  const { ids, trained } = encoder.encode(chat('hello', 'you'));
  const prompt = encodeConversation(tokenizer, [{ role: 'user', content: 'hello' }]);
  assert.deepEqual(ids.slice(0, prompt.length), prompt);
  assert.equal(trained.indexOf(1), prompt.length);
});

test('of prompt and completion as messages, the completion alone is learned', async () => {
  const tokenizer = await loadTokenizer(tinyTokenizer);
  const sample = chat('hello', 'first', 'again', 'second');
  assert.equal(sample.kind, 'chat');
  if (sample.kind === 'chat') sample.firstTrained = 3;
  assert.deepEqual(show(tokenizer, sample).trained, ['second<|im_end|>']);
});

test('a model without a template gets the stated plain format, and a note', async () => {
  const tokenizer = await loadTokenizer(tokenizerWith({ chat_template: null }));
  const { text, trained, notes } = show(tokenizer, chat('hello', 'you', 'or', 'is'));
  assert.equal(
    text,
    '<s>### User:\nhello\n\n### Assistant:\nyou</s>\n\n### User:\nor\n\n### Assistant:\nis</s>',
  );
  assert.deepEqual(trained, ['you</s>', 'is</s>']);
  assert.match(notes.join(), /no chat template; conversations are written as "### User:"/);
});

test('Alpaca: a conversation with a template, the Stanford prompt without', async () => {
  const row: Sample = {
    kind: 'alpaca',
    instruction: 'do',
    input: 'it',
    output: 'done',
    system: '',
    history: [['a', 'b']],
  };
  const withTemplate = show(await loadTokenizer(tinyTokenizer), row);
  assert.match(
    withTemplate.text,
    /user\na<\|im_end\|>\n<\|im_start\|>assistant\nb<\|im_end\|>\n<\|im_start\|>user\ndo\nit<\|im_end\|>/,
  );
  assert.deepEqual(withTemplate.trained, ['b<|im_end|>', 'done<|im_end|>']);
  const without = show(await loadTokenizer(tokenizerWith({ chat_template: null })), { ...row, history: [] });
  assert.match(
    without.text,
    /^<s>Below is an instruction .*\n\n### Instruction:\ndo\n\n### Input:\nit\n\n### Response:\ndone<\/s>$/s,
  );
  assert.deepEqual(without.trained, ['done</s>']);
});

test('{% generation %} blocks decide alone what is learned', async () => {
  const template = `{% for m in messages %}
  {%- if m.role == 'assistant' %}
{{- '<|im_start|>' }}{% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}
  {%- else %}
{{- '[' + m.content + ']' }}
  {%- endif %}
{%- endfor %}`;
  const tokenizer = await loadTokenizer(tokenizerWith({ chat_template: template }));
  const { text, trained } = show(tokenizer, chat('hello', 'you', 'or', 'is'));
  assert.equal(text, '[hello]<|im_start|>you<|im_end|>[or]<|im_start|>is<|im_end|>');
  assert.deepEqual(trained, ['you<|im_end|>', 'is<|im_end|>']);
});

const templates: [string, string, string[], string][] = [
  [
    'answers that end with nothing get EOS',
    "{% for m in messages %}{{ m.role + ': ' + m.content + '\\n' }}{% endfor %}{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}",
    ['you\nuser'.slice(0, 3), 'is</s>'],
    'user: hello\nassistant: you\nuser: or\nassistant: is</s>',
  ],
  [
    'no generation prompt: learning begins at the content',
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}",
    ['you</s>', 'is</s>'],
    '<s>[INST] hello [/INST] you</s>[INST] or [/INST] is</s>',
  ],
  [
    'a generation prompt that opens a thought',
    "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n' }}{% endif %}",
    ['you<|im_end|>', 'is<|im_end|>'],
    '',
  ],
];
for (const [what, template, expected, whole] of templates) {
  test(`templates: ${what}`, async () => {
    const tokenizer = await loadTokenizer(tokenizerWith({ chat_template: template }));
    const { text, trained } = show(tokenizer, chat('hello', 'you', 'or', 'is'));
    if (whole) assert.equal(text, whole);
    assert.deepEqual(
      trained.map((run) => run.trim()),
      expected,
    );
  });
}

test('a template that leaves an answer out is refused, not trained wrongly', async () => {
  const template =
    "{% for m in messages %}{% if m.role == 'user' or loop.last %}{{ m.role + m.content + '<|im_end|>' }}{% endif %}{% endfor %}";
  const tokenizer = await loadTokenizer(tokenizerWith({ chat_template: template }));
  assert.throws(
    () => show(tokenizer, chat('hello', 'you', 'or', 'is')),
    /does not show where message 2 \(assistant\) begins and ends/,
  );
});

test('calls and results become plain turns where the template knows no tools', async () => {
  const tokenizer = await loadTokenizer(tinyTokenizer);
  const { text, trained, notes } = show(tokenizer, {
    kind: 'chat',
    firstTrained: 0,
    tools: [{ name: 'f' }],
    messages: [
      { role: 'user', content: 'q' },
      {
        role: 'assistant',
        content: '',
        tool_calls: [{ type: 'function', function: { name: 'f', arguments: { x: 1 } } }],
      },
      { role: 'tool', content: '3' },
      { role: 'assistant', content: 'a' },
    ],
  });
  assert.deepEqual(trained, ['{"name":"f","arguments":{"x":1}}<|im_end|>', 'a<|im_end|>']);
  assert.match(text, /<\|im_start\|>user\n3<\|im_end\|>/);
  assert.equal(notes.filter((note) => note.includes('knows no tools')).length, 2);
});

const folder = join(sharedData, 'chat-templates');
const ends: Record<string, string> = {
  gemma: '<end_of_turn>',
  gemma3: '<end_of_turn>',
  llama3: '<|eot_id|>',
  llama3_2: '<|eot_id|>',
  phi3: '<|end|>',
  qwen2_5: '<|im_end|>',
  qwen3: '<|im_end|>',
};
for (const special of [true, false]) {
  for (const [name, end] of Object.entries(ends)) {
    const options = { skip: !existsSync(folder) };
    test(
      `${name}: exact turns, markers ${special ? 'as special tokens' : 'as plain text'}`,
      options,
      async () => {
        const source = readFileSync(join(folder, `${name}.jinja`), 'utf8');
        const markers = [
          '<end_of_turn>',
          '<start_of_turn>',
          '<|eot_id|>',
          '<|start_header_id|>',
          '<|end_header_id|>',
          '<|end|>',
          '<|user|>',
          '<|assistant|>',
          '<|system|>',
        ];
        const path = tokenizerWith({ chat_template: source }, special ? addSpecial(...markers) : () => {});
        const tokenizer = await loadTokenizer(path);
        const answers = [
          'The first answer,\nof two lines.',
          'ä🙂 and 2+2 is 4.',
          'Answer three: <b>bold</b>',
        ];
        const turns = answers.flatMap((answer, i) => [`question ${i}?`, answer]);
        const { text, trained } = show(tokenizer, chat(...turns));
        const expected = answers.map((answer) => answer + end);
        // Generation begins before the empty thoughts of the last turn, so they are learned.
        if (name === 'qwen3') expected[2] = `<think>\n\n</think>\n\n${expected[2]}`;
        assert.deepEqual(trained, expected);
        for (const turn of turns) assert.ok(text.includes(turn));
      },
    );
  }
}

test('Qwen3: thoughts in the last answer are learned, older ones are gone', {
  skip: !existsSync(folder),
}, async () => {
  const tokenizer = await loadTokenizer(
    tokenizerWith({ chat_template: readFileSync(join(folder, 'qwen3.jinja'), 'utf8') }),
  );
  const { trained } = show(
    tokenizer,
    chat('q', '<think>\nold\n</think>\n\nfirst', 'r', '<think>\nnew\n</think>\n\nsecond'),
  );
  assert.deepEqual(trained, ['first<|im_end|>', '<think>\nnew\n</think>\n\nsecond<|im_end|>']);
});

for (const name of ['qwen2_5', 'qwen3', 'llama3_2']) {
  test(`${name}: a tool call is learned with its end token, its result is not`, {
    skip: !existsSync(folder),
  }, async () => {
    const source = readFileSync(join(folder, `${name}.jinja`), 'utf8');
    const tokenizer = await loadTokenizer(tokenizerWith({ chat_template: source }, addSpecial('<|eot_id|>')));
    const { trained } = show(tokenizer, {
      kind: 'chat',
      firstTrained: 0,
      tools: [{ type: 'function', function: { name: 'f' } }],
      messages: [
        { role: 'user', content: 'q' },
        {
          role: 'assistant',
          content: '',
          tool_calls: [{ type: 'function', function: { name: 'f', arguments: { x: 1 } } }],
        },
        { role: 'tool', content: 'result' },
        { role: 'assistant', content: 'answer' },
      ],
    });
    assert.equal(trained.length, 2);
    assert.match(
      trained[0]!,
      /\{"name": "f", "(arguments|parameters)": \{"x": 1\}\}(\n<\/tool_call>)?(<\|im_end\|>|<\|eot_id\|>)$/,
    );
    assert.match(trained[1]!, /answer(<\|im_end\|>|<\|eot_id\|>)$/);
    assert.ok(!trained.join('').includes('result'));
  });
}

const alike = [
  ['q', 'first', 'r', 'second'],
  [' spaced ', ' answer\n', 'r', '<think>\nold\n</think>\n\nsecond'],
  ['user', 'user', 'assistant', 'assistant'],
  ['', 'x', '<|im_end|>', 'a<|im_end|>b'],
  ['r', '<think>\nhm\n</think>\n\nfirst', 'q', ' '],
];
for (const name of ['tiny', 'default', ...Object.keys(ends)]) {
  const file = join(folder, `${name}.jinja`);
  const own = name === 'tiny' || name === 'default';
  test(`${name}: turns found by pattern are those found by search`, {
    skip: !own && !existsSync(file),
  }, async () => {
    const config = own
      ? name === 'tiny'
        ? {}
        : { chat_template: null }
      : { chat_template: readFileSync(file, 'utf8') };
    const tokenizer = await loadTokenizer(tokenizerWith(config));
    const shared = new ExampleEncoder(tokenizer, {});
    for (const contents of alike) {
      const searched = new ExampleEncoder(tokenizer, {}).encode(chat(...contents));
      assert.deepEqual(shared.encode(chat(...contents)), searched, JSON.stringify(contents));
    }
  });
}
