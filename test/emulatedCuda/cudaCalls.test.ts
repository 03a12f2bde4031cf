// Which calls ONNX Runtime's own CUDA provider makes for a training step: real but for the kernels, which do nothing. Runs where
// EMULATED_CUDA_PROVIDER names a folder with the provider's libraries, and a C compiler is there.
import assert from 'node:assert/strict';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { planAdapter } from '../../src/engine/adapters/plan';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { modelFromConfig } from '../../src/engine/models/registry';
import { openRuntime } from '../../src/engine/session';
import { Trainer } from '../../src/engine/train/trainer';
import { adapterSettings, randomBatch } from '../contracts/randomAdapter';
import { plainTrainer } from '../contracts/trainerSettings';
import { possible, standIns } from './standIns';

const steps = 70;

// One for the process, which keeps the library that it loaded first.
let trace = '';
const folder = mkdtempSync(join(tmpdir(), 'workbench-cuda-'));
before(() => {
  if (possible) trace = standIns(folder);
});
after(() => rmSync(folder, { recursive: true, force: true }));

for (const graphs of [false, true]) {
  test(`a step on CUDA${graphs ? ', as graphs,' : ''} waits once, on our stream, and holds no more host memory with time`, {
    skip: !possible,
  }, async (t) => {
    const start = existsSync(trace) ? readFileSync(trace, 'utf8').length : 0;
    const mark = (text: string): void => appendFileSync(trace, `STEP ${text}\n`);
    mark('0');
    const runtime = openRuntime({ device: { kind: 'cuda' }, graphs });
    t.after(() => runtime.close());
    const value = runtime.fromHost('float32', [3], Float32Array.of(1, 2, 3));
    const other = runtime.allocate('float32', [3]);
    assert.deepEqual(runtime.read(other), new Float32Array(3));
    runtime.copy(value, other);
    assert.deepEqual(await runtime.fetch(other)(), Float32Array.of(1, 2, 3));

    const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', 'llama-gqa-tied'));
    const model = modelFromConfig(checkpoint.config);
    const weights = BaseWeights.of(runtime, checkpoint, model);
    const trainer = await Trainer.create({
      runtime,
      model,
      weights,
      // A graph has dropout's windows inside.
      plan: planAdapter(model, adapterSettings(model, { lora_dropout: graphs ? 0 : 0.1 })),
      largestBatchTokens: 12,
      settings: { ...plainTrainer, weight_decay: 0.1, gradient_accumulation_steps: 2 },
    });
    for (let step = 1; step <= steps; step++) {
      mark(String(step));
      const parts = [];
      for (const i of [0, 1]) {
        const batch = randomBatch(model, i);
        parts.push(await trainer.startMicroStep(batch, 2 * batch.trainedTokens, i > 0, 2 * step + i, 2));
      }
      await (await trainer.startUpdate(step, 1e-3))();
      for (const part of parts) await part();
    }
    mark('end');
    trainer.release();
    weights.release();

    const found = readFileSync(trace, 'utf8').slice(start).split('STEP ').slice(2, -1);
    assert.equal(found.length, steps);
    const count = (text: string, word: RegExp): number =>
      text.split('\n').filter((line) => word.test(line)).length;
    const all = found.join('');
    assert.equal(
      count(all, /^FORBIDDEN|^KERNEL/),
      0,
      'nothing on another stream, nothing that a recording forbids',
    );
    assert.equal(count(found.slice(1).join(''), /^cudaMalloc \d|default stream/), 0);
    const waits = found.slice(1).map((text) => count(text, /^WAIT/));
    // The gradient's every 32nd run and the update's wait themselves, where they are run and not launched.
    const own = graphs ? 0 : Math.floor((2 * steps) / 32) + Math.floor(steps / 32);
    assert.equal(
      waits.reduce((sum, n) => sum + n, 0),
      steps - 1 + own,
    );
    assert.ok(waits.filter((n) => n === 1).length >= steps - 1 - own);
    // Pinned tables of Concat and Split come back.
    assert.equal(count(found.slice(40).join(''), /^cudaMallocHost/), 0);
    const launches = found.map((text) => count(text, /^cudaGraphLaunch/));
    assert.equal(count(all, /^cudaStreamBeginCapture/), graphs ? 3 : 0);
    assert.deepEqual(new Set(launches.slice(4)), new Set([graphs ? 3 : 0]));
  });
}
