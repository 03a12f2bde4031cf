// A base in four bits: bitsandbytes' checkpoints give transformers' logits; weights quantised at load are bit-equal to theirs;
// the base stays as it is.
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { readRaw, readSafetensors, readTensor } from '../../src/engine/checkpoint/safetensors';
import { CheckpointError } from '../../src/engine/errors';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { Evaluator } from '../../src/engine/execution/evaluator';
import { modelFromConfig } from '../../src/engine/models/registry';
import { contractRuntime } from './contractRuntime';
import { fourBitGoldens, openGolden } from './goldenTraining';

const runtime = contractRuntime();
after(() => runtime.close());

const cases = [
  { name: 'llama-nf4-double', source: 'llama-plain', quantType: 'nf4', doubleQuant: true },
  { name: 'gpt2-fp4', source: 'gpt2', quantType: 'fp4', doubleQuant: false },
] as const;

for (const { name, source, quantType, doubleQuant } of cases) {
  const folder = join(fourBitGoldens, name);

  test(`${name}: a checkpoint in four bits gives transformers' logits`, async () => {
    const checkpoint = await openCheckpoint(join(folder, 'base'));
    const model = modelFromConfig(checkpoint.config);
    const weights = BaseWeights.of(runtime, checkpoint, model);
    assert.ok(weights.packed.size > 0);
    assert.equal(weights.packed.has('lm_head.weight'), false);
    const { tensors } = await readSafetensors(join(folder, 'logits.safetensors'));
    const [rows, length] = tensors.get('input_ids')!.shape as [number, number];
    const integers = async (key: string) =>
      Int32Array.from(new BigInt64Array((await readRaw(tensors.get(key)!)).slice().buffer), Number);
    const [ids, lengths] = [await integers('input_ids'), await integers('lengths')];
    const evaluator = new Evaluator({ runtime, model, weights });
    const logits = await evaluator.logits({
      rows,
      length,
      ids,
      targets: new Int32Array(ids.length).fill(-100),
      positions: ids.map((_, i) => i % length),
      segments: ids.map((_, i) => (i % length < lengths[Math.floor(i / length)]! ? 1 : 0)),
      trainedTokens: 0,
      tokens: ids.length,
      sourceRows: [],
    });
    const want = await readTensor(tensors.get('logits')!);
    const vocabulary = want.length / ids.length;
    want.forEach((value, i) => {
      const position = Math.floor(i / vocabulary);
      if (position % length >= lengths[Math.floor(position / length)]!) return;
      assert.ok(Math.abs(logits[i]! - value) <= 1e-4, `logit ${i} is ${logits[i]}, not ${value}`);
    });
    evaluator.release();
    weights.release();
  });

  test(`${name}: quantised at load, weights are bit-equal to bitsandbytes'`, async () => {
    const theirs = await openCheckpoint(join(folder, 'base'));
    const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', source));
    const model = modelFromConfig(checkpoint.config);
    const format = { quantType, blockSize: 64, doubleQuant };
    const ours = BaseWeights.of(runtime, checkpoint, model, undefined, { format });
    const stored = BaseWeights.of(runtime, theirs, modelFromConfig(theirs.config));
    assert.deepEqual([...ours.packed.keys()].sort(), [...stored.packed.keys()].sort());
    for (const weight of ours.packed.keys()) {
      const [a, b] = [await ours.tensor(weight), await stored.tensor(weight)];
      assert.deepEqual(runtime.read(a), runtime.read(b), weight);
      // Sizes may differ where bitsandbytes' CPU kernel misses the nearest code.
      const [ourValues, theirValues] = [await ours.values(weight), await stored.values(weight)];
      let largest = 0;
      ourValues.forEach((value, i) => {
        largest = Math.max(largest, Math.abs(value - theirValues[i]!));
      });
      assert.ok(largest <= (doubleQuant ? 2e-2 : 0), `${weight} differs by ${largest}`);
    }
    ours.release();
    stored.release();
  });
}

test('training leaves every byte of the base as it was', async () => {
  const golden = await openGolden(runtime, join(fourBitGoldens, 'llama-nf4-double'), 'selective');
  const bytes = async () => {
    const all: [string, unknown][] = [];
    for (const weight of golden.weights.packed.keys())
      for (const suffix of ['', '.absmax', '.nested_absmax', '.nested_offset'])
        all.push([weight + suffix, runtime.read(await golden.weights.tensor(weight + suffix)).slice()]);
    return all;
  };
  const before = await bytes();
  for (let i = 0; i < 5; i++) await golden.step(i);
  assert.deepEqual(await bytes(), before);
  golden.release();
});

test('states that do not fit, and other quantisations, are refused with what was found', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'workbench-fourbit-'));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  cpSync(join(fourBitGoldens, 'gpt2-fp4', 'base'), folder, { recursive: true });
  const file = join(folder, 'model.safetensors');
  const bytes = readFileSync(file);
  const at = bytes.indexOf('"blocksize": 64');
  assert.ok(at > 0);
  bytes.write('"blocksize": 48', at);
  writeFileSync(file, bytes);
  await assert.rejects(openCheckpoint(folder), (error) => {
    assert.ok(error instanceof CheckpointError);
    assert.equal(error.code, 'checkpoint-quantisation-broken');
    assert.match(error.message, /blocksize 48; known are 32, 64/);
    return true;
  });
  const source = join('test', 'goldens', 'models', 'gpt2');
  const checkpoint = await openCheckpoint(source);
  const model = modelFromConfig(checkpoint.config);
  for (const [quantization_config, found] of [
    [{ quant_method: 'gptq', bits: 4 }, /quantised by gptq;/],
    [{ quant_method: 'bitsandbytes', load_in_8bit: true }, /bitsandbytes in 8 bits/],
  ] as const) {
    const changed = { ...checkpoint, config: { ...checkpoint.config, quantization_config } };
    assert.throws(
      () => BaseWeights.of(runtime, changed, model),
      (error) => {
        assert.ok(error instanceof CheckpointError && error.code === 'checkpoint-quantised');
        assert.match(error.message, found);
        assert.match(error.remedy, /load_in_4bit: true/);
        return true;
      },
    );
  }
});
