// Our side of the benchmark, one process per measurement: trains a few steps and prints one JSON line with the seconds of each
// step, the process's peak memory and the activations' peak. --profile PREFIX leaves the runtime's profile of the gradients.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { openCheckpoint } from '../src/engine/checkpoint/folder';
import { BaseWeights } from '../src/engine/execution/baseWeights';
import { Random } from '../src/engine/random';
import { openRuntime } from '../src/engine/session';
import { Trainer } from '../src/engine/train/trainer';
import { adapterSettings, benchModel, randomBatch, randomCheckpoint, trainerSettings } from './workload';

const { values } = parseArgs({
  options: {
    config: { type: 'string' },
    batch: { type: 'string', default: '4' },
    length: { type: 'string', default: '256' },
    steps: { type: 'string', default: '8' },
    warmup: { type: 'string', default: '2' },
    threads: { type: 'string', default: '2' },
    checkpointing: { type: 'string', default: 'selective' },
  },
});

async function main(): Promise<void> {
  const config = JSON.parse(readFileSync(values.config!, 'utf8')) as Record<string, unknown>;
  const [rows, length] = [Number(values.batch), Number(values.length)];
  const { folder, remove } = await randomCheckpoint(config);
  const { model, plan } = benchModel(config);
  // What making the random weights took does not count: a user's checkpoint lies on disk.
  const before = process.memoryUsage().rss;
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: Number(values.threads) });
  try {
    const checkpoint = await openCheckpoint(folder);
    const weights = BaseWeights.of(runtime, checkpoint, model);
    const trainer = await Trainer.create({
      runtime,
      model,
      weights,
      plan,
      settings: trainerSettings(values.checkpointing as 'selective'),
      largestBatchTokens: rows * length,
    });
    const random = new Random(2);
    const seconds: number[] = [];
    let loss = 0;
    for (let step = 1; step <= Number(values.warmup) + Number(values.steps); step++) {
      const batch = randomBatch(random, rows, length, model.vocabularySize);
      const started = performance.now();
      loss = (await trainer.accumulate(batch, batch.trainedTokens, false, step)).loss;
      await trainer.update(step, 2e-4);
      if (step > Number(values.warmup)) seconds.push((performance.now() - started) / 1000);
    }
    console.log(
      JSON.stringify({
        stepSeconds: seconds,
        tokensPerSecond: (rows * length) / median(seconds),
        peakRssBytes: process.resourceUsage().maxRSS * 1024,
        rssBeforeBytes: before,
        activationPeakBytes: runtime.memory().peakBytes,
        trainableParameters: trainer.state.slabs.reduce((sum, slab) => sum + slab.length, 0),
        rank: adapterSettings.r,
        loss,
        versions: { node: process.versions.node, runtime: runtime.versions.runtime },
      }),
    );
    trainer.release();
    weights.release();
  } finally {
    await runtime.close();
    remove();
  }
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)]!;
}

void main();
