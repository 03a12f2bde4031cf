// The analysis `intrinsicDimension` on a tiny model: shares of the gain, the smallest dimension that is enough, cancelling.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { intrinsicDimension } from '../../../src/engine/api/intrinsicDimension';
import { catalogue } from '../../../src/engine/catalogue';
import { loadRecipe } from '../../../src/engine/recipe/load';
import type { IntrinsicDimensionParams } from '../../../src/protocol/trainer';
import { TestHost, tinyWorkspace } from '../train/tinyRun';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace());
});
after(() => clean());

function params(
  name: string,
  given: Partial<IntrinsicDimensionParams>,
  settings: Record<string, unknown> = {},
): IntrinsicDimensionParams {
  const file = join(folder, `${name}.lora.json`);
  const recipe = {
    model: 'base',
    dataset: 'train.jsonl',
    eval_dataset: 'eval.jsonl',
    output_dir: `runs/${name}`,
    learning_rate: 5e-3,
    max_length: 64,
    per_device_train_batch_size: 4,
    max_steps: 12,
    threads: 1,
    // An adapter of its own does not count.
    lora_bias: true,
    ...settings,
  };
  writeFileSync(file, JSON.stringify(recipe));
  return {
    ...loadRecipe(file, catalogue),
    dimensions: [2, 512],
    seeds: [0, 1],
    learningRates: null,
    threshold: 0.5,
    projection: 'fastfood',
    scope: 'all',
    ...given,
  };
}

test('more dimensions gain more, d is the first that gains enough, runs leave their events and no weights', async () => {
  const host = new TestHost();
  const result = await intrinsicDimension(params('sweep', {}), host);
  assert.equal(result.points.length, 2);
  const [few, many] = result.points;
  assert.ok(result.full.meanLoss < result.baseLoss - 0.3, `${result.baseLoss} → ${result.full.meanLoss}`);
  assert.ok(few!.share < 0.3, `2 numbers gain ${few!.share}`);
  assert.ok(many!.share > few!.share + 0.2, `512 numbers gain ${many!.share}`);
  assert.equal(result.d90, many!.share >= 0.5 ? 512 : null);
  assert.ok(many!.deviation > 0 && many!.losses.length === 2);
  assert.notEqual(many!.losses[0], many!.losses[1], 'seeds draw other projections');
  const share = (result.baseLoss - many!.meanLoss) / (result.baseLoss - result.full.meanLoss);
  assert.ok(Math.abs(share - many!.share) < 1e-12);
  const runs = readdirSync(join(folder, 'runs', 'sweep'));
  assert.equal(runs.length, 6);
  for (const run of runs) {
    const path = join(folder, 'runs', 'sweep', run);
    assert.ok(existsSync(join(path, 'events.jsonl')));
    for (const part of ['checkpoints', 'model', 'adapter']) assert.ok(!existsSync(join(path, part)), part);
  }
  assert.ok(host.events.every((event) => event.type === 'progress'));
});

test('by itself it tries larger dimensions until one is enough; the best learning rate counts', async () => {
  const given = { dimensions: null, seeds: [3], threshold: 0.05, learningRates: [1e-6, 2e-2] };
  const result = await intrinsicDimension(params('automatic', given, { max_steps: 6 }), new TestHost());
  const tried = result.points.map(({ dimension }) => dimension!);
  // 4, 16, 64 … to the first that is enough, and one half-way before it.
  assert.ok(tried.length >= 3, `${tried}`);
  const steps = tried.filter((_, i) => i !== tried.length - 2);
  assert.deepEqual(
    steps,
    steps.map((_, i) => 4 ** (i + 1)),
  );
  const [between, last] = result.points.slice(-2);
  assert.equal(between!.dimension, last!.dimension! / 2);
  assert.equal(result.d90, between!.share >= 0.05 ? between!.dimension : last!.dimension);
  assert.deepEqual(result.d90BySeed, [result.d90], 'one seed is all there is');
  assert.ok(last!.share >= 0.05);
  assert.ok(result.points.slice(0, -2).every(({ share }) => share < 0.05));
  assert.equal(result.full.learningRate, 2e-2);
});

test('cancelling ends it with the reason; without held-out data there is nothing to measure', async () => {
  const host = new TestHost((event, self) => {
    if (event.type === 'progress' && event.message.includes('full')) self.cancelRequested = true;
  });
  await assert.rejects(intrinsicDimension(params('cancelled', {}), host), { code: 'run-cancelled' });
  await assert.rejects(
    intrinsicDimension(params('blind', {}, { eval_dataset: null }), new TestHost()),
    /holds no data out/,
  );
  await assert.rejects(
    intrinsicDimension(params('nothing', { learningRates: [100] }, { max_steps: 2 }), new TestHost()),
    {
      code: 'full-training-gains-nothing',
    },
  );
});
