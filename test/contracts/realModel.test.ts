// A real, pre-trained model: fine-tuning on a few hundred lines of other text lowers its held-out loss on that text.
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { TestHost, trainTiny } from '../engine/train/tinyRun';
import { contractDevice } from './contractRuntime';

const model = resolve('..', 'shared', 'data', 'stories260k');
const text = resolve('..', 'shared', 'data', 'datasets', 'tinyshakespeare', 'input.txt');
const absent = !existsSync(model) || !existsSync(text) ? 'the reference data is not here' : false;

test('stories260k learns to write plays', { skip: absent }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'lora-workbench-real-'));
  try {
    const lines = readFileSync(text, 'utf8').split('\n\n').slice(0, 460);
    const rows = lines.map((line) => JSON.stringify({ text: line }));
    writeFileSync(join(folder, 'train.jsonl'), rows.slice(0, 400).join('\n'));
    writeFileSync(join(folder, 'eval.jsonl'), rows.slice(400).join('\n'));
    const host = new TestHost();
    await trainTiny(
      folder,
      {
        model,
        device: contractDevice,
        eval_dataset: 'eval.jsonl',
        output_dir: 'runs/plays',
        r: 16,
        lora_alpha: 32,
        max_length: 128,
        per_device_train_batch_size: 8,
        gradient_accumulation_steps: 1,
        num_train_epochs: 1,
        eval_steps: 5,
        learning_rate: 1e-2,
        warmup_ratio: 0.1,
        threads: 2,
      },
      host,
    );
    const losses = host.of('eval').map((event) => event.loss);
    assert.ok(
      losses.at(-1)! < losses[0]! - 0.5,
      `held-out loss ${losses.map((loss) => loss.toFixed(3)).join(' → ')}`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
