// Every model family against transformers: logits of tiny random checkpoints within 1e-4 (goldens: test/reference/models.py).
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { readRaw, readSafetensors, readTensor } from '../../src/engine/checkpoint/safetensors';
import { evaluationGraph } from '../../src/engine/compile/evaluationGraph';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { loadBase, Program } from '../../src/engine/execution/program';
import { architectures, modelFromConfig } from '../../src/engine/models/registry';
import { contractRuntime } from './contractRuntime';

const runtime = contractRuntime();
after(() => runtime.close());
const goldens = join('test', 'goldens', 'models');

for (const name of readdirSync(goldens)) {
  const folder = join(goldens, name);
  if (!existsSync(join(folder, 'expected.safetensors'))) continue;
  test(`${name}: logits equal transformers'`, async () => {
    const expected = await readSafetensors(join(folder, 'expected.safetensors'));
    const ids = await int64(expected.tensors.get('input_ids')!);
    const [rows, length] = expected.tensors.get('input_ids')!.shape as [number, number];
    const lengths = expected.tensors.has('lengths')
      ? await int64(expected.tensors.get('lengths')!)
      : undefined;
    const logits = await readTensor(expected.tensors.get('logits')!);

    const checkpoint = await openCheckpoint(folder);
    const model = modelFromConfig(checkpoint.config);
    const weights = BaseWeights.of(runtime, checkpoint, model);
    const { graph, baseInputs } = evaluationGraph({
      model,
      slabs: [],
      rows,
      length,
      packing: false,
      result: 'logits',
    });
    const program = await Program.open(runtime, graph, new Map(await loadBase(baseInputs, weights)));
    program.feed('ids', ids);
    program.feed(
      'positions',
      BigInt64Array.from({ length: rows * length }, (_, i) => BigInt(i % length)),
    );
    await program.run();
    const ours = program.read('logits') as Float32Array;
    let worst = 0;
    for (let i = 0; i < logits.length; i++) {
      const position = Math.floor(i / model.vocabularySize);
      const [row, column] = [Math.floor(position / length), position % length];
      if (lengths && column >= Number(lengths[row])) continue;
      worst = Math.max(worst, Math.abs(ours[i]! - logits[i]!));
    }
    assert.ok(worst < 1e-4, `largest difference of logits is ${worst}`);
    program.release();
    weights.release();
  });
}

test('every family has goldens', () => {
  const covered = new Set(readdirSync(goldens).map((name) => name.split('-')[0]));
  for (const { modelType } of architectures) assert.ok(covered.has(modelType), modelType);
});

async function int64(ref: Parameters<typeof readRaw>[0]): Promise<BigInt64Array> {
  const bytes = await readRaw(ref);
  return new BigInt64Array(bytes.slice().buffer);
}
