// Seeds come in, the rows of the committed datasets go out, a list of rows per file name. Every set draws from its own stream.
import { makeStories, makeStory } from './corpus.mjs';
import { pickName } from './story/names.mjs';
import { tellAsPirate } from './story/pirate.mjs';
import { createRandom, seedOf } from './story/random.mjs';
import { styles } from './story/styles.mjs';
import { capital, withArticle } from './story/template.mjs';

/** `count` rows with different keys; `make` is called until there are enough. */
function distinctRows(count, seedName, make, keyOf) {
  const random = createRandom(seedOf(seedName));
  const rows = new Map();
  for (let tries = 0; rows.size < count; tries++) {
    if (tries > 100 * count) throw new Error(`${seedName} yields only ${rows.size} different rows.`);
    const row = make(random);
    rows.set(keyOf(row), rows.get(keyOf(row)) ?? row);
  }
  return [...rows.values()];
}

/** Characters of a row: pirate words take more tokens than plain ones, and a row stays under 256. */
const longestForPirates = 620;

function pirateRow(random) {
  for (;;) {
    const story = makeStory(random);
    const row = { prompt: story.opening, completion: ` ${tellAsPirate(story, random)}` };
    if (row.prompt.length + row.completion.length <= longestForPirates) return row;
  }
}

/** The first sentences of a story and a question whose answer stands in them. */
function questionRow(random) {
  for (;;) {
    const story = makeStory(random);
    const excerpt = story.sentences.slice(0, 9).join(' ');
    const { N, kind, F, fkind } = story.facts;
    const questions = [
      ...story.questions,
      { question: `What kind of animal was ${N}?`, answer: withArticle(kind) },
      { question: 'Who is the story about?', answer: N },
      { question: `What kind of animal was ${F}?`, answer: withArticle(fkind) },
    ];
    const { question, answer } = random.pick(questions);
    const evidence = answer.replace(/^(an?|the|to|they|he|she) /, '');
    if (!excerpt.includes(evidence)) continue;
    return {
      messages: [
        { role: 'user', content: `${excerpt}\n${question}` },
        { role: 'assistant', content: `${capital(answer)}.` },
      ],
    };
  }
}

/** Characters of input and output; an Alpaca prompt adds a preamble of some 110 tokens. */
const longestInstruction = 340;

function instructionRow(random) {
  for (;;) {
    const row = anyInstruction(random);
    if (row.input.length + row.output.length <= longestInstruction) return row;
  }
}

function anyInstruction(random) {
  const story = makeStory(random);
  const { N, kind, place } = story.facts;
  const lead = story.sentences.slice(0, 3).join(' ');
  const other = pickName(random, story.facts.he);
  if (story.text.includes(other)) return anyInstruction(random);
  const makers = [
    () => ({
      instruction: 'Continue the story.',
      input: lead,
      output: story.sentences.slice(3, 6).join(' '),
    }),
    () => ({
      instruction: `Give the hero the name ${other}.`,
      input: lead,
      output: lead.replaceAll(N, other),
    }),
    () => ({
      instruction: 'Give the moral of the story.',
      input: story.sentences.slice(2, 8).join(' '),
      output: story.moral,
    }),
    () => ({ instruction: 'Write a title for the story.', input: lead, output: `${N} the ${kind}` }),
    () => ({
      instruction: `Begin a story about ${N} the ${kind}.`,
      input: '',
      output: story.sentences.slice(0, 3).join(' '),
    }),
    () => ({
      instruction: 'Name the hero and the place.',
      input: lead,
      output: `Hero: ${N}. Place: ${place}.`,
    }),
  ];
  return random.pick(makers)();
}

/** Random UUID-like keys and values, as MoRA's memorisation test has them. */
function uuidPair(random) {
  const hex = (digits) => Array.from({ length: digits }, () => random.below(16).toString(16)).join('');
  const uuid = () => [8, 4, 4, 4, 12].map(hex).join('-');
  return { prompt: `${uuid()}\n`, completion: uuid() };
}

/** Splits rows into train and eval, which share no key since all keys differ. */
function split(rows, trainCount) {
  return [rows.slice(0, trainCount), rows.slice(trainCount)];
}

/** All committed datasets: file name under samples/data → rows. */
export function makeDatasets() {
  const [pirateTrain, pirateEval] = split(
    distinctRows(460, 'pirate', pirateRow, (row) => row.prompt),
    400,
  );
  const [questionsTrain, questionsEval] = split(
    distinctRows(360, 'questions', questionRow, (row) => row.messages[0].content),
    300,
  );
  const tasks = Object.entries(styles).map(([name, make]) => [
    `tasks/${name}.jsonl`,
    distinctRows(160, `task ${name}`, make, (row) => row.completion),
  ]);
  return {
    'pirate.train.jsonl': pirateTrain,
    'pirate.eval.jsonl': pirateEval,
    'stories.eval.jsonl': makeStories(60, seedOf('held-out stories')).map(({ text }) => ({ text })),
    'questions.train.jsonl': questionsTrain,
    'questions.eval.jsonl': questionsEval,
    'alpaca.jsonl': distinctRows(300, 'alpaca', instructionRow, (row) => `${row.instruction} ${row.input}`),
    ...Object.fromEntries(tasks),
    'uuid-pairs.jsonl': distinctRows(256, 'uuid', uuidPair, (row) => row.prompt),
  };
}
