// The generator's stories: the same for a seed, and correct English as far as rules can tell.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type CorpusModule, load, type Story } from './modules';

const corpus = load<CorpusModule>('corpus.mjs');

const many = corpus.then(({ makeStories }) => makeStories(4000, 7));

/** The first few stories for which a rule fails, as text. */
function breaches(all: Story[], broken: (story: Story) => boolean): string[] {
  return all
    .filter(broken)
    .slice(0, 3)
    .map(({ text }) => text);
}

test('a seed decides the stories', async () => {
  const { makeStories } = await corpus;
  assert.deepEqual(makeStories(40, 3), makeStories(40, 3));
  assert.notDeepEqual(makeStories(40, 3), makeStories(40, 4));
});

test('thousands of stories differ, in all plots', async () => {
  const all = await many;
  assert.equal(new Set(all.map(({ text }) => text)).size, all.length);
  assert.equal(new Set(all.map(({ plot }) => plot)).size, 16);
});

test('stories have 60 to 160 words', async () => {
  const { countWords } = await corpus;
  assert.deepEqual(
    breaches(await many, ({ text }) => countWords(text) < 60 || countWords(text) > 160),
    [],
  );
});

test('no slot stays open', async () => {
  assert.deepEqual(
    breaches(await many, ({ text }) => /[{}^_]|undefined|null|NaN/.test(text)),
    [],
  );
});

test('a slot without a fact is refused', async () => {
  const { fill } = await load<{ fill(template: string, facts: Record<string, string>): string }>(
    'story/template.mjs',
  );
  assert.equal(
    fill('{^a kind} saw {a colour} {thing}.', { kind: 'owl', colour: 'red', thing: 'hat' }),
    'An owl saw a red hat.',
  );
  assert.throws(() => fill('{kind} and {other}', { kind: 'owl' }), /The slot \{other\}/);
});

test('articles, spaces, quotes and sentence ends are right', async () => {
  const all = await many;
  assert.deepEqual(
    breaches(all, ({ text }) => /\ba [aeiou]|\ban [^aeiou]/i.test(text)),
    [],
  );
  assert.deepEqual(
    breaches(all, ({ text }) => / {2}| [.,!?]|\.\.|[^\x20-\x7e]/.test(text)),
    [],
  );
  assert.deepEqual(
    breaches(all, ({ sentences }) =>
      sentences.some((sentence) => (sentence.match(/"/g) ?? []).length % 2 === 1),
    ),
    [],
  );
  assert.deepEqual(
    breaches(all, ({ sentences }) => sentences.some((sentence) => !/^["A-Z].*[.!?]"?$/.test(sentence))),
    [],
  );
});

test('each pronoun has one owner, and the names keep to theirs', async () => {
  const all = await many;
  assert.deepEqual(
    breaches(all, ({ facts }) => facts.he === facts.fhe || facts.kind === facts.fkind || facts.N === facts.F),
    [],
  );
  const genders = new Map<string, Set<string>>();
  for (const { facts } of all) {
    for (const [name, pronoun] of [
      [facts.N!, facts.he!],
      [facts.F!, facts.fhe!],
    ] as const) {
      genders.set(name, (genders.get(name) ?? new Set()).add(pronoun));
    }
  }
  assert.deepEqual(
    [...genders].filter(([, pronouns]) => pronouns.size > 1),
    [],
  );
});

test('the friend is named before acting, and the weather is not contradicted', async () => {
  const all = await many;
  assert.deepEqual(
    breaches(all, ({ text, facts }) => {
      const introduced = text.indexOf(facts.fkind!);
      return introduced < 0 || text.indexOf(facts.F!) > introduced + 60;
    }),
    [],
  );
  const sunny = all.filter(({ facts }) => facts.weatherId === 'sunny');
  assert.deepEqual(
    breaches(sunny, ({ text }) => /frost|fog lay|clouds hung|rain fell/.test(text)),
    [],
  );
});

test('every story has a question, and its answer is not empty', async () => {
  assert.deepEqual(
    breaches(
      await many,
      ({ questions }) => questions.length === 0 || questions.some(({ answer }) => answer.length < 1),
    ),
    [],
  );
});

test('the corpus holds chats with two turns and songs with their echo beside the stories', async () => {
  const { stories: plain, chats, songs } = (await corpus).makeCorpus(800, 5);
  assert.equal(plain.length + chats.length, 800);
  assert.ok(chats.length > 60 && chats.length < 140, `${chats.length} chats`);
  for (const { messages } of chats)
    assert.deepEqual(
      messages.map(({ role }) => role),
      ['user', 'assistant'],
    );
  assert.equal(songs.length, 133);
  for (const { text } of songs) {
    const verses = [...text.matchAll(/sang: "([^"]+!)"/g)].map(([, verse]) => verse);
    assert.ok(verses.length >= 2 && new Set(verses).size === 1, text);
  }
});
