// What the extension may tell each page, so that most of what a page can say is said. Words that come from files are Cyrillic here:
// a Latin word on the page is the page's own.
import type { AdapterHead, AdapterNews } from '../../../src/protocol/panels/adapter';
import type {
  ConfigureState,
  DatasetFacts,
  FormField,
  FormProblem,
  MemoryForecast,
} from '../../../src/protocol/panels/configure';
import type { LensProgress, LensRow, LensState } from '../../../src/protocol/panels/lens';
import type { PlaygroundSession, PlaygroundState } from '../../../src/protocol/panels/playground';
import type { LogPart, OtherEvent, RunState, RunView } from '../../../src/protocol/panels/run';
import type { SettingField, SettingValue } from '../../../src/protocol/settings';

export interface Told {
  /** What the page is told, in order. */
  news: readonly (readonly [type: string, content: unknown])[];
  /** Results of its requests. */
  answers?: Record<string, unknown>;
}

const word = 'слово';
const failure = { code: 'x', message: word, remedy: word };

const setting = (field: SettingField, value: SettingValue, given = false): FormField => ({
  field,
  value,
  given,
  off: false,
});
const text = { description: word, group: 'adapter' } as const;
const fields: FormField[] = [
  setting({ key: 'model', type: 'path', ...text, group: 'model' }, word, true),
  setting({ key: 'dataset', type: 'path', ...text, group: 'data' }, word, true),
  setting({ key: 'lora_alpha', type: 'integer', default: 8, ...text }, 16, true),
  setting({ key: 'lora_dropout', type: 'number', default: 0, ...text, group: 'optimization' }, 0.1, true),
  setting({ key: 'use_dora', type: 'boolean', default: false, ...text, group: 'memory' }, false),
  setting({ key: 'lora_bias', type: 'string', default: null, ...text, group: 'run' }, null),
  setting({ key: 'max_steps', type: 'boolean', default: null, ...text, group: 'data' }, null),
  setting({ key: 'eval_steps', type: 'integer', advanced: true, ...text, group: 'evaluation' }, 4, true),
  setting({ key: 'adapter', type: 'string', ...text }, word),
  setting({ key: 'load_in_4bit', type: 'boolean', ...text }, true),
  setting({ key: 'init_lora_weights', type: 'boolean', ...text }, true),
  setting({ key: 'target_modules', type: 'string', ...text }, 'all-linear'),
  setting({ key: 'device', type: 'enum', choices: [{ id: 'cuda', label: word }], ...text }, 'cuda'),
  setting({ key: 'max_length', type: 'integer', ...text, group: 'data' }, 512),
  setting({ key: 'per_device_train_batch_size', type: 'integer', ...text }, 2),
  setting({ key: 'gradient_accumulation_steps', type: 'integer', ...text }, 2),
  setting({ key: 'warmup_steps', type: 'integer', ...text }, 5),
  setting({ key: 'save_total_limit', type: 'integer', ...text, group: 'run' }, 2),
];
const choice = (id: string | boolean) => ({ id, label: word, summary: word });
const problem: FormProblem = {
  severity: 'error',
  key: 'lora_alpha',
  line: 3,
  message: word,
  remedy: word,
  fixes: [{ label: word, edits: [] }],
  dataset: word,
};

const configureState: ConfigureState = {
  file: word,
  name: word,
  dirty: false,
  trusted: true,
  form: {
    readable: true,
    fields,
    axes: [
      { key: 'adapter', choices: [choice(word)] },
      { key: 'load_in_4bit', choices: [choice(true), choice(false)] },
      { key: 'init_lora_weights', choices: [choice(true), choice(false)] },
    ],
    presets: [{ id: word, category: word, label: word, summary: word }],
    preset: word,
    problems: [problem, { ...problem, key: null, severity: 'warning', fixes: [] }],
  },
  models: [{ path: word, label: word, detail: word }],
  datasets: [{ path: word, label: word, detail: word }],
  model: {
    modelType: word,
    parameters: 1.24e9,
    layers: 2,
    dtypes: word,
    bytes: 2.5e9,
    chatTemplate: true,
  },
  coverage: {
    layers: 2,
    rows: [{ name: word, inFeatures: 8, outFeatures: 8, ranks: [4, 0], parameters: 128 }],
    adapted: 1,
    adaptable: 2,
    trainableParameters: 128,
    totalParameters: 4096,
    full: false,
    tied: true,
  },
  modelProblem: null,
  running: null,
  lastRun: { id: word, name: word, state: 'finished', evalLoss: null },
};
const forecast: MemoryForecast = {
  exact: true,
  parts: {
    weights: 4e9,
    adapter: 1e7,
    gradients: 1e7,
    optimizer: 2e7,
    activations: 5e8,
    saving: 1e7,
    workspace: 2e8,
  },
  totalBytes: 5e9,
  availableBytes: 8e9,
  hostBytes: 0,
  device: word,
  trainableParameters: 128_000_000,
  suggestions: [],
  tookMs: 3,
};
const dataset: DatasetFacts = {
  rows: 100,
  examples: 90,
  evalExamples: 10,
  tokens: 9000,
  trainedTokens: 4000,
  medianTokens: 80,
  longestTokens: 300,
  shape: `${word}-${word}`,
  columns: '',
  steps: 40,
  stepsPerEpoch: 20,
  problems: [],
};
const { lastRun, coverage } = configureState;

export const configure: Told = {
  news: [
    ['state', configureState],
    ['dataset', dataset],
    ['dataset', { error: word }],
    ['dataset', { ...dataset, rows: 1, examples: 1, columns: word, stepsPerEpoch: 1 }],
    [
      'devices',
      [
        { id: 'cuda:0', name: word, freeBytes: 6e9, totalBytes: 8e9, utilization: 0.4, split: false },
        { id: 'cuda:1', name: word, freeBytes: null, totalBytes: null, utilization: null, split: true },
      ],
    ],
    ['forecast', forecast],
    ['forecast', { ...forecast, exact: false, availableBytes: null }],
    [
      'forecast',
      {
        ...forecast,
        availableBytes: 1e9,
        suggestions: [
          { edits: [{ key: 'max_length', value: 256 }], totalBytes: 9e8, sameResult: true },
          { edits: [{ key: 'max_length', value: 128 }], totalBytes: 8e8, sameResult: false },
        ],
      },
    ],
    ['forecast', { ...forecast, availableBytes: 1e9, suggestions: null }],
    ['state', { ...configureState, form: { ...configureState.form, problems: [] } }],
    ['forecast', { error: word }],
    ['state', { ...configureState, form: { ...configureState.form, problems: [] }, running: word }],
    ['forecast', forecast],
    ['state', { ...configureState, trusted: false, lastRun: { ...lastRun, evalLoss: 1.25 } }],
    ['state', { ...configureState, coverage: { ...coverage, full: true, tied: false }, lastRun: null }],
    ['state', { ...configureState, model: null, coverage: null }],
    ['state', { ...configureState, model: null, coverage: null, modelProblem: word }],
    ['dataset', null],
  ],
};

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
