// What the form of a recipe may be told: one that fits, one that does not, one that cannot be read.
import type {
  ConfigureState,
  DatasetFacts,
  FormField,
  FormProblem,
  MemoryForecast,
} from '../../../../src/protocol/panels/configure';
import type { SettingField, SettingValue } from '../../../../src/protocol/settings';
import { type Told, word } from './told';

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
  availableHostBytes: null,
  context: null,
  device: word,
  trainableParameters: 128_000_000,
  suggestions: [],
  tookMs: 3,
};
/** More than system memory holds. */
const beside = { hostBytes: 2e9, availableHostBytes: 1e9 };
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
    ['forecast', { ...forecast, ...beside, context: { bytes: 3e8, measured: true } }],
    ['forecast', { ...forecast, ...beside, availableBytes: 1e9, context: { bytes: 3e8, measured: false } }],
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
