// Nothing comes in, the exact contents of every generated file go out, by path from the project's root. It writes nothing.
import { generationConfig, modelConfig } from './checkpoint.mjs';
import { makeCorpus } from './corpus.mjs';
import { makeDatasets } from './datasets.mjs';
import { seedOf } from './story/random.mjs';
import { tokenizerConfig, trainTokenizer } from './tokenizer.mjs';

/** Enough stories that the pre-training reads each one only a few times. */
const corpusSize = 16000;
/** The tokenizer's statistics settle long before that. */
const tokenizerTexts = 3000;
const corpusSeed = seedOf('corpus');

const json = (value) => `${JSON.stringify(value, null, 2)}\n`;
const jsonLines = (rows) => `${rows.map((row) => JSON.stringify(row)).join('\n')}\n`;

/** Committed files: tokenizer, configuration and datasets. */
export function committedFiles() {
  const { stories, chats } = makeCorpus(tokenizerTexts, corpusSeed);
  const texts = [
    ...stories.map(({ text }) => text),
    ...chats.flatMap(({ messages }) => messages.map(({ content }) => content)),
  ];
  const datasets = Object.entries(makeDatasets()).map(([name, rows]) => [
    `samples/data/${name}`,
    jsonLines(rows),
  ]);
  return {
    'samples/base/tokenizer.json': json(trainTokenizer(texts)),
    'samples/base/tokenizer_config.json': json(tokenizerConfig()),
    'samples/base/config.json': json(modelConfig),
    'samples/base/generation_config.json': json(generationConfig),
    ...Object.fromEntries(datasets),
  };
}

/** What the pre-training reads; remade when needed, not committed. */
export function pretrainingFiles() {
  const sets = Object.entries(makeCorpus(corpusSize, corpusSeed));
  return Object.fromEntries(
    sets.map(([name, rows]) => [`build/sample/${name}.train.jsonl`, jsonLines(rows)]),
  );
}
