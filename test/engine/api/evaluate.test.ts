// The call `evaluate` against logits: the loss is the mean over counted tokens, whatever the batches.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { compose } from '../../../src/engine/api/compose';
import { evaluate } from '../../../src/engine/api/evaluate';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { loadTokenizer, prepareData } from '../../../src/engine/data';
import { AdapterError, DataError, RecipeError } from '../../../src/engine/errors';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { openRuntime } from '../../../src/engine/session';
import type { AdapterChoice, EngineHost, EvaluateParams, TrainerEvent } from '../../../src/protocol/trainer';
import { logitsOf } from '../../contracts/adapterGoldens';
import { writeRandomAdapter } from '../../contracts/randomAdapter';
import { fails, scratch } from '../files/scratch';
import { writeTinyModel } from './tinyModel';

function hostOf(events: TrainerEvent[] = []): EngineHost {
  return {
    emit: (event) => events.push(event),
    stopRequested: false,
    cancelRequested: false,
    takeCheckpointRequest: () => false,
  };
}

const rows = [
  { prompt: 'Once upon a time', completion: ' there was a dog.' },
  { prompt: 'The', completion: ' end, and a much longer answer than before: one, two, three, four.' },
  { prompt: 'A rather long prompt that counts for nothing at all.', completion: ' Yes' },
];

test('loss is the mean −log p over completions, with and without an adapter, whatever the batches', async (t) => {
  const folder = await scratch(t);
  await writeTinyModel(folder);
  const data = join(folder, 'rows.jsonl');
  writeFileSync(data, rows.map((row) => JSON.stringify(row)).join('\n'));
  const model = modelFromConfig((await openCheckpoint(folder)).config);
  const adapter = join(folder, 'adapter');
  await writeRandomAdapter(adapter, model, {}, 0.5);
  const params: EvaluateParams = {
    model: folder,
    adapters: [],
    data,
    maxLength: null,
    batchSize: 2,
    device: 'cpu',
    threads: 1,
  };

  const losses: number[] = [];
  for (const used of [null, adapter]) {
    const wanted = await lossFromLogits(folder, data, used ?? undefined);
    for (const batchSize of [1, 2, 8]) {
      const events: TrainerEvent[] = [];
      const result = await evaluate(
        { ...params, adapters: used === null ? [] : [used], batchSize },
        hostOf(events),
      );
      assert.ok(Math.abs(result.loss - wanted.loss) < 1e-5, `${result.loss} against ${wanted.loss}`);
      assert.equal(result.tokens, wanted.tokens);
      assert.ok(Math.abs(result.perplexity - Math.exp(result.loss)) < 1e-9);
      assert.ok(events.some((event) => event.type === 'progress' && event.phase === 'evaluating'));
      losses.push(result.loss);
    }
  }
  assert.ok(Math.abs(losses[0]! - losses[3]!) > 1e-3, 'the adapter acts');

  await fails(() => evaluate({ ...params, data: join(folder, 'none.jsonl') }, hostOf()), {
    class: DataError,
    code: 'dataset-missing',
    says: ['none.jsonl'],
  });
  await fails(() => evaluate({ ...params, adapters: [join(folder, 'nothing')] }, hostOf()), {
    class: AdapterError,
    code: 'adapter-missing',
    says: ['nothing'],
  });
});

test('several adapters are the sum of their weighted updates; what has no LoRA form acts alone', async (t) => {
  const folder = await scratch(t);
  await writeTinyModel(folder);
  const data = join(folder, 'rows.jsonl');
  writeFileSync(data, rows.map((row) => JSON.stringify(row)).join('\n'));
  const model = modelFromConfig((await openCheckpoint(folder)).config);
  const [one, two, dora, both] = ['one', 'two', 'dora', 'both'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
    string,
  ];
  await writeRandomAdapter(one, model, { use_rslora: true }, 0.3);
  await writeRandomAdapter(two, model, { target_modules: ['q_proj', 'up_proj'], r: 3, lora_alpha: 5 }, 0.4);
  await writeRandomAdapter(dora, model, { adapter: 'dora' }, 0.5);
  const device = { device: 'cpu', threads: 1 };
  const loss = async (...adapters: AdapterChoice[]): Promise<number> => {
    const asked = { model: folder, adapters, data, maxLength: null, batchSize: 2, ...device };
    return (await evaluate(asked, hostOf())).loss;
  };
  // The sum as one file, by the exact combination.
  const weights = [
    { folder: one, weight: 0.75 },
    { folder: two, weight: -1.5 },
  ];
  const options = { rank: null, density: 1, majoritySign: 'total', seed: 0, scaledTwice: false } as const;
  await compose(
    { model: folder, adapters: weights, type: 'cat', out: both, ...options, ...device },
    hostOf(),
  );
  const sum = await loss(...weights);
  assert.ok(Math.abs(sum - (await loss(both))) < 1e-5, 'the weighted sum');
  assert.ok(Math.abs(sum - (await loss(one, two))) > 1e-3, 'weights act');
  assert.equal(await loss({ folder: one, weight: 0 }, two), await loss(two), 'weight 0 leaves out');
  const twice = await loss(one, one);
  assert.ok(Math.abs(twice - (await loss({ folder: one, weight: 2 }))) < 1e-5, 'twice');

  assert.ok(Number.isFinite(await loss(dora)), 'alone it acts by its own graph');
  for (const choices of [[dora, one], [{ folder: dora, weight: 0.5 }]]) {
    await fails(() => loss(...choices), {
      class: AdapterError,
      code: 'adapters-conflict',
      says: [dora, 'is a dora adapter with no LoRA form', 'depends on the base weights'],
    });
  }
  await fails(() => loss({ folder: one, weight: Number.NaN }, { folder: two, weight: Infinity }), {
    class: RecipeError,
    code: 'adapter-weight-invalid',
    says: [one, two, 'NaN', 'Infinity'],
  });
});

async function lossFromLogits(folder: string, data: string, adapter?: string) {
  const tokenizer = await loadTokenizer(folder);
  const { train } = await prepareData({ tokenizer, dataset: data });
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
  let sum = 0;
  let tokens = 0;
  try {
    for (const { ids, trained } of train) {
      const logits = await logitsOf(runtime, folder, { ids, rows: 1, length: ids.length }, adapter);
      const vocabulary = logits.length / ids.length;
      for (let t = 1; t < ids.length; t++) {
        if (trained[t] === 0) continue;
        const row = logits.subarray((t - 1) * vocabulary, t * vocabulary);
        const highest = row.reduce((a, b) => Math.max(a, b));
        const total = row.reduce((acc, x) => acc + Math.exp(x - highest), 0);
        sum += Math.log(total) + highest - row[ids[t]!]!;
        tokens++;
      }
    }
  } finally {
    await runtime.close();
  }
  return { loss: sum / tokens, tokens };
}
