// What the page of a dataset may be told: rows of every kind, with and without a model and recipes.
import type { LensProgress, LensRow, LensState } from '../../../../src/protocol/panels/lens';
import { failure, type Told, word } from './told';

const lensState: LensState = {
  file: word,
  name: word,
  settings: {
    model: word,
    template: word,
    templateName: '',
    train_on: 'completions',
    max_length: 64,
    truncation: 'right',
  },
  models: [{ path: word, name: word }],
  recipes: [],
  recipe: null,
  first: 0,
};
const progress: LensProgress = {
  rows: 2,
  complete: false,
  scanned: 1,
  done: false,
  histogram: { width: 16, rows: [1, 2, 20_000, 1, 1] },
  median: 20,
  p95: 60,
  longest: 80,
  tokens: 100,
  trained: 50,
  longer: 1,
  shape: word,
  problems: [
    {
      id: word,
      severity: 'warning',
      message: word,
      count: 1,
      rows: [],
      remedies: [{ label: word, edits: {} }],
    },
  ],
  fine: [word],
  notes: [word],
};
const row: LensRow = {
  index: 0,
  line: 1,
  tokens: 5,
  trained: 1,
  masked: 2,
  cut: 2,
  end: 'trained',
  segments: [
    { who: word, ids: [1, 2], texts: [word, ' '], kinds: [0, 0], ends: [], special: [] },
    { who: word, ids: [3, 4, 5], texts: [word, '', word], kinds: [1, 2, 2], ends: [0], special: [2] },
  ],
  hidden: 3,
  problems: [word],
  error: null,
};

export const lens: Told = {
  answers: {
    rows: ({ from }: { from: number }) =>
      from > 0 ? [] : [row, { ...row, index: 1, tokens: 0, segments: [], error: failure }],
    problemRow: null,
    remedy: { written: null },
  },
  news: [
    ['state', lensState],
    ['progress', progress],
    ['stale', {}],
    ['stale', {}],
    ['state', { ...lensState, models: [], recipes: [{ path: word, name: word }], recipe: word }],
    ['progress', { ...progress, complete: true, done: true }],
    ['state', { ...lensState, settings: { ...lensState.settings, template: null, truncation: 'drop' } }],
    ['failed', failure],
  ],
};
