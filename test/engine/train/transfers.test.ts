// What a micro-batch and an update cost in copies between host and device. Counted on the CPU, whose runtime is asked for the
// same copies; how often the host waits is in the contract test hostWaits.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { planAdapter } from '../../../src/engine/adapters/plan';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { BaseWeights } from '../../../src/engine/execution/baseWeights';
import { modelFromConfig } from '../../../src/engine/models/registry';
import type { DeviceTensor, Runtime } from '../../../src/engine/session';
import { Trainer } from '../../../src/engine/train/trainer';
import { adapterSettings, randomBatch } from '../../contracts/randomAdapter';
import { onCpu } from '../session/cpuRuntime';

test('a micro-batch uploads tokens, targets and weights and reads its loss; dropout stays on the host', async () => {
  const checkpoint = await openCheckpoint(join('test', 'goldens', 'models', 'llama-gqa-tied'));
  const model = modelFromConfig(checkpoint.config);
  await onCpu(async (real) => {
    const onHost = new Set<DeviceTensor>();
    const counts = { uploads: 0, hostWrites: 0, downloads: 0 };
    const runtime = new Proxy(real, {
      get(target, key: keyof Runtime) {
        if (key === 'allocate')
          return (...args: Parameters<Runtime['allocate']>) => {
            const tensor = target.allocate(...args);
            if (args[2] === 'host') onHost.add(tensor);
            return tensor;
          };
        if (key === 'write')
          return (tensor: DeviceTensor, data: ArrayBufferView) => {
            counts[onHost.has(tensor) ? 'hostWrites' : 'uploads']++;
            target.write(tensor, data);
          };
        if (key === 'read')
          return (...args: Parameters<Runtime['read']>) => {
            counts.downloads++;
            return target.read(...args);
          };
        if (key === 'fetch')
          return (tensor: DeviceTensor) => {
            counts.downloads++;
            return target.fetch(tensor);
          };
        const value = target[key];
        return typeof value === 'function' ? (value as () => unknown).bind(target) : value;
      },
    });
    const weights = BaseWeights.of(runtime, checkpoint, model);
    const plan = planAdapter(model, adapterSettings(model, { lora_dropout: 0.1 }));
    const trainer = await Trainer.create({
      runtime,
      model,
      weights,
      plan,
      largestBatchTokens: 12,
      settings: {
        optim: 'adamw',
        weight_decay: 0,
        adam_beta1: 0.9,
        adam_beta2: 0.999,
        adam_epsilon: 1e-8,
        max_grad_norm: 1,
        settings: {},
        seed: 3,
        packing: false,
        gradient_accumulation_steps: 2,
        gradient_checkpointing: 'selective',
      },
    });
    const counted = async (work: () => Promise<unknown>) => {
      Object.assign(counts, { uploads: 0, hostWrites: 0, downloads: 0 });
      await work();
      return { ...counts };
    };
    const micro = (step: number, carry: boolean) => {
      const batch = randomBatch(model, step);
      return counted(() => trainer.accumulate(batch, 2 * batch.trainedTokens, carry, step, 2));
    };
    await micro(0, false);
    await micro(1, true);
    await trainer.update(1, 1e-3);
    const sites = plan.sites.size;
    // ids, targets, carry: positions and weights are those of the batch before.
    assert.deepEqual(await micro(2, false), { uploads: 3, hostWrites: 2 * sites, downloads: 1 });
    assert.deepEqual(await micro(3, true), { uploads: 3, hostWrites: 2 * sites, downloads: 1 });
    // The rate and the step's bias corrections; the norm.
    const update = await counted(() => trainer.update(2, 1e-3));
    assert.equal(update.downloads, 1);
    assert.ok(update.uploads <= 3, `${update.uploads} scalars`);
    trainer.release();
    weights.release();
  });
});
