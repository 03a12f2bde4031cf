// The call `evaluate` against logits: the loss is the mean over counted tokens, whatever the batches.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { evaluate } from '../../../src/engine/api/evaluate';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { loadTokenizer, prepareData } from '../../../src/engine/data';
import { AdapterError, DataError } from '../../../src/engine/errors';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { openRuntime } from '../../../src/engine/session';
import type { EngineHost, EvaluateParams, TrainerEvent } from '../../../src/protocol/trainer';
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
    adapter: null,
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
      const result = await evaluate({ ...params, adapter: used, batchSize }, hostOf(events));
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
  await fails(() => evaluate({ ...params, adapter: join(folder, 'nothing') }, hostOf()), {
    class: AdapterError,
    code: 'adapter-missing',
    says: ['nothing'],
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
