// The call `average`: AM-LoRA's gates at their means over real tokens, and the loss that this costs.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { loadAdapter } from '../../../src/engine/adapters/loaded';
import { average } from '../../../src/engine/api/average';
import { convert } from '../../../src/engine/api/convert';
import { evaluate } from '../../../src/engine/api/evaluate';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { loadTokenizer, prepareData } from '../../../src/engine/data';
import { AdapterError } from '../../../src/engine/errors';
import { BaseWeights } from '../../../src/engine/execution/baseWeights';
import { Evaluator, uploadParameters } from '../../../src/engine/execution/evaluator';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { openRuntime } from '../../../src/engine/session';
import { fails } from '../files/scratch';
import { TestHost, tinyWorkspace, trainTiny } from '../train/tinyRun';

test('gates are averaged over real tokens, and the losses are those of both adapters', async (t) => {
  const { folder, clean } = await tinyWorkspace();
  t.after(clean);
  const task = { adapter: 'am_lora', am_gate: 'relu', am_lambda: 0, max_steps: 8, learning_rate: 5e-2 };
  const first = await trainTiny(folder, {
    ...task,
    target_modules: ['q_proj'],
    output_dir: 'runs/one',
  });
  const second = await trainTiny(folder, {
    ...{ ...task, dataset: 'eval.jsonl', r: 3, target_modules: ['q_proj', 'up_proj'] },
    ...{ previous_adapters: [first.adapter], output_dir: 'runs/two' },
  });
  const base = join(folder, 'base');
  const data = join(folder, 'train.jsonl');
  const common = { model: base, data, maxLength: null, batchSize: 4, device: 'cpu', threads: 1 };
  const out = join(folder, 'plain');
  const result = await average({ ...common, adapter: second.adapter, out }, new TestHost());

  const loss = async (adapter: string) =>
    (await evaluate({ ...common, adapters: [adapter] }, new TestHost())).loss;
  assert.ok(Math.abs(result.lossBefore - (await loss(second.adapter))) < 1e-5, 'with gates');
  assert.ok(Math.abs(result.lossAfter - (await loss(out))) < 1e-5, 'without');
  assert.ok(Math.abs(result.lossAfter - result.lossBefore) > 1e-5, 'gates depend on the token');

  // Every row by itself, without padding.
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
  try {
    const checkpoint = await openCheckpoint(base);
    const model = modelFromConfig(checkpoint.config);
    const { plan, values } = await loadAdapter(second.adapter, model);
    const weights = BaseWeights.of(runtime, checkpoint, model);
    const parameters = uploadParameters(runtime, plan, values);
    const evaluator = new Evaluator({ runtime, model, weights, parameters });
    const { train } = await prepareData({ tokenizer: await loadTokenizer(base), dataset: data });
    const sums = new Map<string, number[]>();
    let tokens = 0;
    for (const { ids } of train) {
      const positions = Int32Array.from(ids, (_, i) => i);
      const targets = ids.map(() => -100);
      const row = { rows: 1, length: ids.length, ids, positions, targets, sourceRows: [] };
      const batch = { ...row, segments: ids.map(() => 1), trainedTokens: 0, tokens: ids.length };
      tokens += ids.length;
      for (const [name, gates] of await evaluator.observed(batch)) {
        const width = gates.length / ids.length;
        const path = name.replace(/\.am_lora_gate$/, '');
        const sum = sums.get(path) ?? Array<number>(width).fill(0);
        gates.forEach((gate, i) => {
          sum[i % width]! += gate;
        });
        sums.set(path, sum);
      }
    }
    assert.equal(result.tokens, tokens);
    assert.deepEqual(result.gates.map(({ path }) => path).sort(), [...sums.keys()].sort());
    for (const { path, means } of result.gates) {
      assert.equal(means.length, sums.get(path)!.length, path);
      means.forEach((mean, i) => {
        const wanted = sums.get(path)![i]! / tokens;
        assert.ok(Math.abs(mean - wanted) < 1e-5, `${path}: ${mean}, row by row ${wanted}`);
      });
    }
    assert.ok(
      result.gates.some(({ means }) => Math.abs(means[0]! - 1) > 1e-3),
      'gates have moved',
    );
  } finally {
    await runtime.close();
  }

  const asLora = { model: base, adapter: second.adapter, type: 'lora', out: join(folder, 'exact') } as const;
  await assert.rejects(convert(asLora), {
    code: 'adapter-not-convertible',
    message: /gates depend on the input/,
    remedy: /--average-over/,
  });
  await fails(() => average({ ...common, adapter: out, out: join(folder, 'again') }, new TestHost()), {
    class: AdapterError,
    code: 'adapter-not-averageable',
    says: ['no gates'],
  });
});
