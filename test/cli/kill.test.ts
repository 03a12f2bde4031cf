// The real trainer process, killed in the middle of a run: the terminal reports it, no file is lost, and a resumed run ends at
// the bits of an uninterrupted one.
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { readEvents } from '../../src/engine/run/eventLog';
import { tinyWorkspace } from '../engine/train/tinyRun';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace());
});
after(() => clean());

function recipe(name: string): string {
  const file = join(folder, `${name}.lora.yaml`);
  const lines = [
    'model: base',
    'dataset: train.jsonl',
    `output_dir: runs/${name}`,
    'r: 4',
    'lora_dropout: 0.1',
    'learning_rate: 5.0e-3',
    'max_length: 64',
    'per_device_train_batch_size: 2',
    'gradient_accumulation_steps: 2',
    'max_steps: 40',
    'save_steps: 2',
    'threads: 1',
  ];
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

function start(...args: string[]): {
  child: ChildProcess;
  ended: Promise<{ code: number | null; stderr: string }>;
} {
  const child = spawn(process.execPath, ['dist/cli.js', 'train', ...args, '--json'], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stderr = '';
  child.stderr!.on('data', (text) => {
    stderr += text;
  });
  return { child, ended: new Promise((resolve) => child.on('close', (code) => resolve({ code, stderr }))) };
}

const weights = (name: string): Buffer =>
  readFileSync(join(folder, 'runs', name, 'adapter', 'adapter_model.safetensors'));

test('a SIGKILL of the trainer loses at most the steps since the last checkpoint', async () => {
  assert.equal((await start(recipe('whole')).ended).code, 0);

  const { ended } = start(recipe('killed'));
  const log = join(folder, 'runs', 'killed', 'events.jsonl');
  let pid: number | undefined;
  for (let i = 0; i < 600 && pid === undefined; i++) {
    await sleep(20);
    if (!existsSync(log)) continue;
    const { events } = readEvents(log);
    const begun = events.find((event) => event.type === 'run-started');
    if (begun?.type === 'run-started' && events.filter((event) => event.type === 'checkpoint').length >= 2)
      pid = begun.pid;
  }
  assert.ok(pid, 'the run came as far as its second checkpoint');
  process.kill(pid, 'SIGKILL');
  const { code, stderr } = await ended;
  const { error } = JSON.parse(stderr) as { error: { code: string; message: string; remedy: string } };
  assert.equal(code, 1);
  assert.equal(error.code, 'trainer-died');
  assert.match(error.message, /SIGKILL/);
  assert.ok(error.remedy.length > 10);
  assert.ok(!existsSync(join(folder, 'runs', 'killed', 'adapter')), 'no result of a run that did not end');

  assert.equal((await start(recipe('killed'), '--resume').ended).code, 0);
  assert.deepEqual(weights('killed'), weights('whole'));
});
