// What the page of an adapter may be told: values bit by bit, with and without a base, broken ones.
import type { AdapterHead, AdapterNews } from '../../../../src/protocol/panels/adapter';
import { type Told, word } from './told';

const head: AdapterHead = {
  title: word,
  file: word,
  folder: word,
  bytes: 1000,
  method: word,
  facts: [{ label: word, value: word, detail: word, state: 'ok' }],
  problems: [],
  tensors: [
    { name: `${word}.0.${word}`, dtype: 'F32', shape: [4, 4], bytes: 64 },
    { name: `${word}.1.${word}`, dtype: 'F32', shape: [], bytes: 4 },
  ],
  modules: [
    { path: `${word}.0.${word}`, outFeatures: 4, inFeatures: 4, rank: 4 },
    { path: `${word}.1.${word}`, outFeatures: 4, inFeatures: 4, rank: 4 },
    { path: word, outFeatures: 4, inFeatures: 4, rank: 4 },
  ],
  notes: [word],
  canTry: true,
  run: word,
  hasConfig: true,
  withBase: true,
};
const moved = (index: number, sigma: number[] | null) => ({
  index,
  sigma: sigma ?? [],
  norm: sigma === null ? null : Math.hypot(...sigma),
});
const values = (index: number, notFinite: number) => ({ index, norm: 1, mean: 0.5, largest: 2, notFinite });
const news: AdapterNews = { modules: [], tensors: [], base: [] };

export const adapter: Told = {
  news: [
    ['head', head],
    ['news', { ...news, modules: [moved(0, [3, 1, 0.1, 0.01])], tensors: [values(0, 0)] }],
    ['news', { ...news, modules: [moved(1, [0, 0, 0, 0]), moved(2, [4, 0, 0, 0])], tensors: [values(1, 0)] }],
    ['news', { ...news, base: [[0, 10] as const, [1, 10] as const] }],
    ['done', { milliseconds: 1 }],
    ['news', { ...news, modules: [moved(1, null)], tensors: [values(1, 2)] }],
    ['problem', { where: word, message: word, remedy: word }],
    ['fact', { label: word, value: word, detail: word, state: 'warning' }],
    ['head', { ...head, withBase: false, run: undefined }],
    [
      'news',
      { ...news, modules: [0, 1, 2].map((i) => moved(i, [0, 0])), tensors: [0, 1].map((i) => values(i, 0)) },
    ],
    ['head', { ...head, withBase: false, method: undefined, modules: [] }],
  ],
};
