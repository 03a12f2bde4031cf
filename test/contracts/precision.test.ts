// 16-bit compute with fp32 masters; on the CPU through casts: values are rounded where a GPU would round them, sums are fp32.
// Tolerances are on each step's loss: 1 % against PEFT in bf16; against PEFT in fp32 3 % for bf16 (8 bits of mantissa, errors
// of 50 steps of training added up) and 0.5 % for float16 (11 bits).
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { floatsIn } from '../../src/engine/checkpoint/floats';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { Evaluator } from '../../src/engine/execution/evaluator';
import { choosePrecision } from '../../src/engine/execution/precision';
import { Stepper } from '../../src/engine/generate/stepper';
import { type FloatType, precisionFor } from '../../src/engine/graph/precision';
import { modelTensors } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import { contractRuntime } from './contractRuntime';
import { methodGoldens, openGolden, trainingGoldens } from './goldenTraining';

const runtime = contractRuntime();
const { kind: device } = runtime.device;
after(() => runtime.close());

const bf16Goldens = join('test', 'goldens', 'precision');
const halves = [
  { type: 'bfloat16', tolerance: 3e-2 } as const,
  { type: 'float16', tolerance: 5e-3 } as const,
].filter(({ type }) => device !== 'webgpu' || type !== 'bfloat16');

for (const name of readdirSync(bf16Goldens)) {
  test(`${name}: PEFT's losses in bf16`, { skip: device === 'webgpu' }, () =>
    follows(join(bf16Goldens, name), 'bfloat16', 1e-2),
  );
}

for (const { type, tolerance } of halves) {
  for (const name of readdirSync(trainingGoldens)) {
    test(`${name} in ${type}: PEFT's fp32 losses`, () =>
      follows(join(trainingGoldens, name), type, tolerance));
  }
  for (const name of readdirSync(methodGoldens)) {
    const skip = !existsSync(join(methodGoldens, name, 'expected.json'));
    // Differences grow with the steps, and each method's graph is what matters here.
    test(`methods/${name} in ${type}: PEFT's first fp32 losses`, { skip }, () =>
      follows(join(methodGoldens, name), type, tolerance, 12),
    );
  }
}

async function follows(folder: string, type: FloatType, tolerance: number, steps = 50): Promise<void> {
  const golden = await openGolden(runtime, folder, 'selective', precisionFor(type, device));
  let moved = 0;
  for (const [i, want] of golden.expected.steps.slice(0, steps).entries()) {
    const { loss, extra } = await golden.step(i);
    const difference = Math.abs(loss + extra - want.loss) / want.loss;
    moved = Math.max(moved, difference);
    assert.ok(difference <= tolerance, `step ${i}: ${loss + extra}, PEFT's ${want.loss}`);
  }
  // Exactly PEFT's fp32 numbers would mean that nothing was rounded.
  if (!folder.startsWith(bf16Goldens)) assert.ok(moved > 1e-6, `nothing was computed in ${type}`);
  golden.release();
}

for (const base of ['llama-bf16-sharded', 'mistral-full', 'qwen3-bias-tied', 'qwen2', 'gpt2', 'llama-f16']) {
  for (const { type } of halves) {
    test(`${base} in ${type}: weights, logits and generation`, async () => {
      const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', base));
      const model = modelFromConfig(checkpoint.config);
      const ids = Int32Array.from({ length: 16 }, (_, i) => 5 + ((i * 37) % 90));
      const found = new Map<FloatType, { logits: Float32Array; next: Float32Array }>();
      for (const compute of ['float32', type] as const) {
        const weights = BaseWeights.of(runtime, checkpoint, model, precisionFor(compute, device));
        for (const { name } of modelTensors(model)) {
          const tensor = await weights.tensor(name);
          assert.equal(tensor.dtype, compute);
          const stored = [...checkpoint.tensors.values()].find((ref) => ref.name.endsWith(name))!.dtype;
          const asItLies = { F32: 'float32', BF16: 'bfloat16', F16: 'float16' }[stored as 'F32'] === compute;
          // On other devices everything is a copy.
          if (device === 'cpu')
            assert.equal(tensor.writable, !asItLies, `${name} is ${asItLies ? 'the file' : 'a copy'}`);
          if (!asItLies)
            assert.deepEqual(runtime.read(tensor), floatsIn(compute, await weights.values(name)));
        }
        const evaluator = new Evaluator({ runtime, model, weights });
        const batch = {
          rows: 2,
          length: 8,
          ids,
          targets: ids,
          positions: ids.map((_, i) => i % 8),
          segments: ids.map(() => 1),
          trainedTokens: 16,
          tokens: 16,
          sourceRows: [],
        };
        const stepper = new Stepper({ runtime, model, weights });
        const { batch: going } = await stepper.begin([[...ids.subarray(0, 7)]], 20, 64);
        const next = await going.step([ids[7]!], [true]);
        found.set(compute, { logits: await evaluator.logits(batch), next });
        stepper.release();
        evaluator.release();
        weights.release();
      }
      const exact = found.get('float32')!;
      const rounded = found.get(type)!;
      const limit = type === 'bfloat16' ? 0.1 : 0.015;
      close(rounded.logits, exact.logits, limit);
      close(rounded.next, exact.next, limit);
      // On CUDA the keys and values of an fp32 model are kept in float16.
      const last = exact.logits.subarray(7 * model.vocabularySize, 8 * model.vocabularySize);
      close(exact.next, last, device === 'cuda' ? 0.015 : 1e-3);
    });
  }
}

function close(found: Float32Array, expected: Float32Array, tolerance: number): void {
  assert.equal(found.length, expected.length);
  const worst = found.reduce((most, x, i) => Math.max(most, Math.abs(x - expected[i]!)), 0);
  assert.ok(worst <= tolerance, `differs by ${worst}`);
}

test('dtype: auto goes by the device', async () => {
  assert.equal((await choosePrecision('auto', { kind: 'cpu' })).compute, 'float32');
  assert.deepEqual(precisionFor('auto', 'cuda', 9), {
    compute: 'bfloat16',
    cache: 'bfloat16',
    device: 'cuda',
  });
  assert.deepEqual(precisionFor('auto', 'cuda', 7.5), {
    compute: 'float16',
    cache: 'float16',
    device: 'cuda',
  });
  assert.deepEqual(precisionFor('float32', 'cuda', 9), {
    compute: 'float32',
    cache: 'float16',
    device: 'cuda',
  });
  assert.equal(precisionFor('auto', 'webgpu').compute, 'float32');
  await assert.rejects(choosePrecision('bfloat16', { kind: 'webgpu' }), { code: 'dtype-unsupported' });
});
