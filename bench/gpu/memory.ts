// What a training step takes of a GPU's memory, without a GPU: ONNX Runtime's own CUDA provider asks stand-ins for CUDA's libraries
// for memory that holds nothing, and kernels do nothing, so that shapes far beyond this machine's memory can be counted. Every
// allocation is real: weights, state, the arena with what it leaves unused; CUDA's context is not in it. Runs where
// EMULATED_CUDA_PROVIDER names a folder with the provider's libraries, of the runtime's version. Prints one JSON line per case:
//   --config bench/models/llama-3.2-1b.json --lengths 1024 --batches 1,4 --checkpointings selective,none
import {
  ftruncateSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { elements } from '../../src/engine/dtype';
import { BaseWeights } from '../../src/engine/execution/baseWeights';
import { precisionFor } from '../../src/engine/graph/precision';
import { modelTensors } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import { Random } from '../../src/engine/random';
import { openRuntime } from '../../src/engine/session';
import { Trainer } from '../../src/engine/train/trainer';
import { possible, standIns } from '../../test/emulatedCuda/standIns';
import { benchModel, randomBatch, trainerSettings } from '../workload';

const { values } = parseArgs({
  options: {
    config: { type: 'string' },
    lengths: { type: 'string', default: '1024' },
    batches: { type: 'string', default: '1' },
    checkpointings: { type: 'string', default: 'selective,none' },
  },
});

async function main(): Promise<void> {
  if (!possible) throw new Error('EMULATED_CUDA_PROVIDER names no folder with the provider’s libraries.');
  const scratch = mkdtempSync(join(tmpdir(), 'lora-workbench-memory-'));
  process.env.EMULATED_CUDA_HOLLOW = '1';
  const trace = standIns(join(scratch, 'cuda'));
  try {
    const config = JSON.parse(readFileSync(values.config!, 'utf8')) as Record<string, unknown>;
    const checkpoint = emptyCheckpoint(config, join(scratch, 'model'));
    for (const checkpointing of values.checkpointings.split(','))
      for (const length of values.lengths.split(',').map(Number))
        for (const batch of values.batches.split(',').map(Number))
          console.log(
            JSON.stringify(await measured(config, checkpoint, trace, checkpointing, batch, length)),
          );
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function measured(
  config: Record<string, unknown>,
  folder: string,
  trace: string,
  checkpointing: string,
  rows: number,
  length: number,
) {
  const { model, plan } = benchModel(config);
  const runtime = openRuntime({ device: { kind: 'cuda' } });
  try {
    const weights = BaseWeights.of(
      runtime,
      await openCheckpoint(folder),
      model,
      precisionFor('bfloat16', 'cuda'),
    );
    const trainer = await Trainer.create({
      runtime,
      model,
      weights,
      plan,
      settings: trainerSettings(checkpointing as 'selective'),
      largestBatchTokens: rows * length,
    });
    for (let step = 1; step <= 2; step++) {
      const batch = randomBatch(new Random(step), rows, length, model.vocabularySize);
      await (await trainer.startMicroStep(batch, batch.trainedTokens, false, step, 1))();
      await (await trainer.startUpdate(step, 1e-4))();
    }
    const arenaBytes = runtime.memory().peakBytes;
    trainer.release();
    weights.release();
    const [, , peakMiB] = readFileSync(`${trace}.used`, 'utf8').trim().split(' ').map(Number);
    return { checkpointing, rows, length, peakMiB, arenaMiB: Math.round(arenaBytes / 2 ** 20) };
  } finally {
    await runtime.close();
  }
}

/** A checkpoint in bf16 whose numbers are holes in a file. */
function emptyCheckpoint(config: Record<string, unknown>, folder: string): string {
  mkdirSync(folder);
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
  let end = 0;
  const header: Record<string, unknown> = {};
  for (const { name, shape } of modelTensors(modelFromConfig(config))) {
    const bytes = 2 * elements(shape);
    header[name] = { dtype: 'BF16', shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const text = JSON.stringify(header).padEnd(Math.ceil(JSON.stringify(header).length / 8) * 8);
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  writeSync(file, Buffer.concat([size, Buffer.from(text)]));
  ftruncateSync(file, 8 + text.length + end);
  return folder;
}

void main();
