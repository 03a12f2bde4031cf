// The analysis of the intrinsic dimension through the terminal, on the sample with a few steps.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import type { IntrinsicDimensionResult } from '../../src/protocol/trainer';
import { workbench } from './badInput';

test('d90 of the sample: a table for people, a document for programs', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'intrinsic-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const recipe = join(folder, 'sample.lora.json');
  const rows = [1, 2, 3, 4, 5, 6].map((i) => ({
    prompt: `Count to ${i}: `,
    completion: 'Arr, matey, not I!',
  }));
  writeFileSync(join(folder, 'rows.jsonl'), rows.map((row) => JSON.stringify(row)).join('\n'));
  const settings = {
    ...{ model: resolve('samples/base'), dataset: 'rows.jsonl', val_size: 2, max_length: 32 },
    ...{ max_steps: 3, per_device_train_batch_size: 2, learning_rate: 2e-3, threads: 1, output_dir: 'runs' },
  };
  writeFileSync(recipe, JSON.stringify(settings));
  const few = ['--dimension', '8', '--dimension', '2', '--seed', '0', '--seed', '5', '--threshold', '0.5'];
  const shown = await workbench(['intrinsic-dimension', recipe, ...few, '--json']);
  assert.equal(shown.code, 0, shown.err);
  const result = JSON.parse(shown.out) as IntrinsicDimensionResult;
  assert.deepEqual(
    result.points.map(({ dimension, losses }) => [dimension, losses.length]),
    [
      [2, 2],
      [8, 2],
    ],
  );
  assert.ok(result.full.meanLoss < result.baseLoss, 'full fine-tuning gains');
  assert.deepEqual(result.seeds, [0, 5]);
  assert.equal(result.d90BySeed.length, 2);
  assert.equal(result.d90, result.points.find(({ share }) => share >= 0.5)?.dimension ?? null);
  const bad = await workbench(['intrinsic-dimension', recipe, '--projection', 'sparse']);
  assert.equal(bad.code, 2);
  assert.match(bad.err, /--projection takes fastfood or dense, found "sparse"/);
});
