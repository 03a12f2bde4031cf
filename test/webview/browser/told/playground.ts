// What the playground may be told: a model that loads, tokens, a failure, nothing at all.
import type { PlaygroundSession, PlaygroundState } from '../../../../src/protocol/panels/playground';
import { failure, type Told, word } from './told';

const playgroundState: PlaygroundState = {
  models: [{ folder: word, name: word }],
  model: word,
  adapters: [
    { folder: `${word}1`, name: word, detail: word, refusal: undefined },
    { folder: `${word}2`, name: word, detail: word, refusal: word },
  ],
  adapter: `${word}1`,
  device: 'cuda:0',
  devices: ['cuda:0'],
};
const session: PlaygroundSession = {
  state: 'loading',
  weightBytes: 3e9,
  hasChatTemplate: false,
  positions: 512,
  error: null,
};
const token = { side: 0, text: word, probability: 0.4, alternatives: [{ text: word, probability: 0.5 }] };

export const playground: Told = {
  answers: {
    say: {
      text: word,
      finishReason: 'length',
      tokens: 2,
      tokensPerSecond: 10,
      promptTokens: 3,
      swapMilliseconds: 4,
    },
  },
  news: [
    ['state', playgroundState],
    ['session', session],
    ['session', { ...session, state: 'open' }],
    ['token', token],
    ['token', { ...token, text: ' ', side: 1 }],
    ['warning', { message: word }],
    ['session', { ...session, state: 'failed', error: failure }],
    ['session', { ...session, state: 'closed' }],
    ['state', { ...playgroundState, models: [], model: null, adapters: [], adapter: null }],
  ],
};
