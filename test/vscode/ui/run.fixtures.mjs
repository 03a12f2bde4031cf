// Run folders with made-up logs: long, failed, live, finished.
import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';

const started = Date.parse('2026-01-05T14:30:00Z');
const planOf = (totalSteps, stepsPerEpoch) => ({
  modelType: 'llama',
  device: 'cpu',
  dtype: 'float32',
  adapter: 'lora',
  trainableParameters: 11_272_192,
  totalParameters: 1_235_814_400,
  adaptedModules: 112,
  trainExamples: 7099,
  evalExamples: 374,
  trainedTokensPerEpoch: 900_000,
  totalSteps,
  stepsPerEpoch,
  effectiveBatchSize: 16,
  predictedPeakBytes: 5.06 * 2 ** 30,
});
const noise = (i) => (Math.sin(i * 12.9898) * 43758.5453) % 1;

export const stepOf = (i, total, time) => ({
  type: 'step',
  step: i,
  epoch: i / 441,
  loss: 0.44 + 0.6 * Math.exp(-i / (total / 12)) + 0.05 * noise(i),
  learningRate: 1e-4 * (1 + Math.cos((Math.PI * i) / total)),
  gradNorm: 0.6 + 0.2 * noise(i + 7),
  tokens: 3000,
  tokensPerSecond: 1492 + 40 * noise(i + 3),
  peakMemoryBytes: 5.16 * 2 ** 30,
  etaSeconds: (total - i) * 2,
  time,
});

/** Writes a run of `total` steps that came to `until`; `end` is its last event; `shift` moves its losses. */
function makeRun(workspace, name, { total, until, end, shift = 0 }) {
  const folder = join(workspace, 'runs', name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, 'recipe.yaml'),
    '# The settings of this run.\nmodel: models/tiny\ndataset: data/train.jsonl\nr: 16\n',
  );
  const at = (i) => new Date(started + i * 2000).toISOString();
  const every = Math.max(1, Math.round(total / 13));
  const lines = [
    {
      type: 'run-started',
      run: folder,
      pid: 4_000_000,
      plan: planOf(total, Math.ceil(total / 3)),
      resumedFromStep: null,
      time: at(0),
    },
  ];
  for (let i = 1; i <= until; i++) {
    const time = at(i);
    const step = stepOf(i, total, time);
    lines.push({ ...step, loss: step.loss + shift });
    if (i % every !== 0) continue;
    const loss = 0.5 + 0.4 * Math.exp(-i / (total / 8)) + shift;
    const perplexity = Math.exp(loss);
    lines.push({ type: 'eval', step: i, epoch: i / 441, loss, perplexity, tokens: 1000, best: true, time });
    for (const prompt of ['Once upon a time, a small fox', 'The sea was']) {
      const text = ` and then, at step ${i}, it went on and on until the end of the story.`;
      lines.push({ type: 'sample', step: i, prompt, text, time });
    }
    const path = join(folder, `checkpoints/step-${i}`);
    lines.push({ type: 'checkpoint', step: i, path, reason: 'steps', time });
  }
  if (end) lines.push({ ...end, time: at(until + 1) });
  writeFileSync(join(folder, 'events.jsonl'), `${lines.map((line) => JSON.stringify(line)).join('\n')}\n`);
  return folder;
}

/** Runs that have ended. */
export function writeRuns(workspace) {
  const result = {
    run: '',
    adapter: '',
    steps: 1323,
    loss: 0.45,
    evalLoss: 0.51,
    trainableParameters: 1,
    tokensPerSecond: 1,
    peakMemoryBytes: 1,
  };
  makeRun(workspace, 'gsm8k-lora-r16', {
    total: 1323,
    until: 1323,
    shift: -0.02,
    end: { type: 'finished', step: 1323, reason: 'complete', result },
  });
  makeRun(workspace, 'huge', {
    total: 100_000,
    until: 100_000,
    end: { type: 'stopped', step: 100_000, checkpoint: null, result: null },
  });
  makeRun(workspace, 'gsm8k-lora-lr1e-2', {
    total: 1323,
    until: 41,
    end: {
      type: 'failed',
      step: 41,
      error: {
        code: 'loss-not-finite',
        message: 'The loss is not finite at step 41.\nIt rose from 0.79 to 21 in 23 steps.',
        remedy: 'Lower learning_rate, for example to 2e-4, and start again.',
      },
    },
  });
}

/** A run that lives as long as this process does. */
export function writeLiveRun(workspace) {
  const folder = join(workspace, 'runs', 'gsm8k-qlora-r16');
  mkdirSync(folder, { recursive: true });
  // First, for a run that is found without a lock has ended.
  writeFileSync(join(folder, 'run.lock'), JSON.stringify({ pid: process.pid, host: hostname() }));
  return makeRun(workspace, 'gsm8k-qlora-r16', { total: 1323, until: 864 });
}
