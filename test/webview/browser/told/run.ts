// What the page of a run may be told: every event, every state, a failure with remedies.
import type { LogPart, OtherEvent, RunState, RunView } from '../../../../src/protocol/panels/run';
import { failure, type Told, word } from './told';

const at = '2026-01-02T03:04:05.000Z';
export const plan = {
  modelType: word,
  device: 'cuda:0',
  dtype: word,
  adapter: word,
  trainableParameters: 2e6,
  totalParameters: 3e9,
  adaptedModules: 4,
  trainExamples: 100,
  evalExamples: 10,
  trainedTokensPerEpoch: 1000,
  totalSteps: 40,
  stepsPerEpoch: 20,
  effectiveBatchSize: 4,
  predictedPeakBytes: 4e9,
};
const view: RunView = {
  id: 'a',
  name: word,
  folder: word,
  state: 'running',
  phase: null,
  pid: 7,
  plan,
  step: 12,
  totalSteps: 40,
  epoch: 0.6,
  loss: 1.5,
  evalLoss: 1.4,
  bestEvalLoss: 1.4,
  tokensPerSecond: 300,
  peakMemoryBytes: 3e9,
  etaSeconds: 7400,
  checkpoints: [{ step: 10, evalLoss: 1.4, best: true }],
  adapter: word,
  error: null,
  remedies: [],
  startedAt: at,
  updatedAt: at,
  trusted: true,
};
const noSteps = {
  step: [],
  loss: [],
  smoothed: [],
  learningRate: [],
  gradNorm: [],
  tokensPerSecond: [],
  tokens: [],
};
const result = {
  run: word,
  adapter: word,
  steps: 40,
  loss: 1,
  evalLoss: null,
  trainableParameters: 1,
  tokensPerSecond: 1,
  peakMemoryBytes: 1,
};
const bodies: object[] = [
  {
    type: 'note',
    message: word,
    modules: [
      { path: `${word}.3.${word}`, importance: 0.5, kept: true, sharedAs: null },
      { path: `${word}.4.${word}`, importance: 0.5, kept: true, sharedAs: null },
      { path: word, importance: 0.5, kept: true, sharedAs: null },
      { path: `${word}.5.${word}`, importance: 0.1, kept: false, sharedAs: word },
    ],
  },
  { type: 'warning', message: word, remedy: word },
  { type: 'step-skipped', step: 1, lossScale: 1024 },
  { type: 'eval', step: 2, epoch: 0.1, loss: 1.4, perplexity: 4, tokens: 10, best: true },
  { type: 'eval', step: 2, epoch: 0.1, loss: 1.5, perplexity: 4, tokens: 10, best: false },
  { type: 'sample', step: 2, prompt: word, text: word },
  { type: 'checkpoint', step: 2, path: word, reason: 'best' },
  { type: 'checkpoint', step: 2, path: word, reason: 'asked' },
  { type: 'checkpoint', step: 2, path: word, reason: 'steps' },
  ...[0, 1].map((utilization) => ({
    type: 'device',
    step: 2,
    device: 'cuda:0',
    name: word,
    memoryUsedBytes: 3e9,
    memoryTotalBytes: 8e9,
    utilization,
  })),
  { type: 'stopped', step: 2, checkpoint: null, result },
  { type: 'stopped', step: 2, checkpoint: word, result },
  { type: 'failed', step: 2, error: failure },
  { type: 'finished', step: 2, reason: 'early-stopping', result },
  { type: 'finished', step: 2, reason: 'complete', result },
];
const part: LogPart = {
  pieces: [
    {
      steps: noSteps,
      event: { type: 'run-started', time: at, resumedFromStep: null, run: word, pid: 1, plan },
    },
    {
      steps: {
        step: [1, 2],
        loss: [2, Number.POSITIVE_INFINITY],
        smoothed: [2, 1.8],
        learningRate: [1e-3, 9e-4],
        gradNorm: [1, 0.5],
        tokensPerSecond: [100, 200],
        tokens: [100, 2e6],
      },
      event: null,
    },
    ...bodies.map((body) => ({ steps: noSteps, event: { time: at, ...body } as OtherEvent })),
    { steps: noSteps, event: { type: 'run-started', time: at, resumedFromStep: 2, run: word, pid: 1, plan } },
  ],
};
const states: RunState[] = [
  'waiting',
  'starting',
  'running',
  'paused',
  'stopping',
  'finished',
  'stopped',
  'failed',
];

export const run: Told = {
  answers: { recipe: word },
  news: [
    ['run', { ...view, step: 0, plan: null, updatedAt: new Date(Date.now()).toISOString() }],
    ['log', { id: 'a', name: word, reset: true, part }],
    ['log', { id: 'b', name: word, reset: true, part }],
    ['compared', ['b']],
    ['run', { ...view, updatedAt: new Date(Date.now()).toISOString() }],
    ...states.flatMap((state): (readonly [string, unknown])[] => [
      ['run', { ...view, state }],
      ['run', { ...view, state, pid: null, totalSteps: null, checkpoints: [], peakMemoryBytes: null }],
    ]),
    [
      'run',
      {
        ...view,
        state: 'failed',
        step: 0,
        error: { ...failure, problems: [1, 2].map(() => ({ where: word, message: word })) },
        remedies: [true, false].map((sameResult) => ({
          edits: [{ key: 'max_length', value: 4 }],
          sameResult,
        })),
      },
    ],
  ],
};
