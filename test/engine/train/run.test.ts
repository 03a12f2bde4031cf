// Whole runs on a tiny model: what is written, what is resumed, what stops a run.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { readAdapterFolder } from '../../../src/engine/adapters/peftFile';
import { readSafetensors } from '../../../src/engine/checkpoint/safetensors';
import { RunError, UserError } from '../../../src/engine/errors';
import { readEvents } from '../../../src/engine/run/eventLog';
import { TestHost, tinyConfig, tinyWorkspace, trainTiny } from './tinyRun';

let folder: string;
let clean: () => void;
before(async () => {
  ({ folder, clean } = await tinyWorkspace());
});
after(() => clean());

const weights = (run: string): Buffer => readFileSync(join(run, 'adapter', 'adapter_model.safetensors'));

test('a run lowers the loss and leaves adapter, events, state, recipe and TensorBoard files', async () => {
  const host = new TestHost();
  const result = await trainTiny(
    folder,
    { output_dir: 'runs/plain', eval_dataset: 'eval.jsonl', num_train_epochs: 4 },
    host,
  );
  const steps = host.of('step');
  assert.equal(steps.length, 24, '23 rows in batches of 2, accumulated by 2: 6 steps an epoch');
  assert.ok(steps.at(-1)!.loss < 0.8 * steps[0]!.loss, `${steps[0]!.loss} → ${steps.at(-1)!.loss}`);
  assert.equal(host.of('eval').length, 4);
  assert.equal(result.steps, 24);
  const names = readdirSync(result.run);
  for (const name of ['adapter', 'checkpoints', 'events.jsonl', 'recipe.yaml', 'trainer_state.json'])
    assert.ok(names.includes(name), name);
  assert.ok(names.some((name) => name.startsWith('events.out.tfevents')));
  const adapter = await readAdapterFolder(result.adapter);
  assert.equal(adapter.tensors.size, 2 * 7 * 2);
  assert.equal(readEvents(join(result.run, 'events.jsonl')).events.at(-1)!.type, 'finished');
});

test('sample prompts are continued at every evaluation', async () => {
  const host = new TestHost();
  const settings = {
    output_dir: 'runs/samples',
    eval_dataset: 'eval.jsonl',
    eval_steps: 2,
    max_steps: 4,
    sample_prompts: ['Say 3: '],
  };
  await trainTiny(folder, settings, host);
  assert.deepEqual(
    host.of('sample').map((event) => [event.step, event.prompt]),
    [
      [2, 'Say 3: '],
      [4, 'Say 3: '],
    ],
  );
  assert.ok(host.of('sample').every((event) => event.text.length > 0));
});

test('the same recipe and seed give the same weights, another seed does not', async () => {
  const run = (name: string, seed: number) =>
    trainTiny(folder, { output_dir: `runs/${name}`, seed, lora_dropout: 0.2, max_steps: 5 });
  const [a, b, c] = [await run('same-a', 3), await run('same-b', 3), await run('same-c', 4)];
  assert.deepEqual(weights(a.run), weights(b.run));
  assert.notDeepEqual(weights(a.run), weights(c.run));
});

test('a stopped run resumes to the bits of the uninterrupted one: dropout, accumulation, mid-epoch', async () => {
  const settings = {
    lora_dropout: 0.3,
    num_train_epochs: 3,
    eval_dataset: 'eval.jsonl',
    save_strategy: 'no',
  };
  const whole = await trainTiny(folder, { ...settings, output_dir: 'runs/whole' });
  const host = new TestHost((event, self) => {
    if (event.type === 'step' && event.step === 8) self.stopRequested = true;
  });
  await trainTiny(folder, { ...settings, output_dir: 'runs/parts' }, host);
  assert.equal(host.of('stopped')[0]!.step, 8, 'step 8 of 6 an epoch lies inside the second epoch');
  const resumed = new TestHost();
  const rest = await trainTiny(
    folder,
    { ...settings, output_dir: 'runs/parts', resume_from_checkpoint: true },
    resumed,
  );
  assert.equal(resumed.of('run-started')[0]!.resumedFromStep, 8);
  assert.equal(resumed.of('step')[0]!.step, 9);
  assert.deepEqual(weights(rest.run), weights(whole.run));
  assert.equal(rest.evalLoss, whole.evalLoss);
});

test('full fine-tuning resumes bit for bit too and leaves a whole model', async () => {
  const settings = { adapter: 'none', max_steps: 6, learning_rate: 1e-3 };
  const drop = ['r', 'lora_alpha'];
  const without = (more: Record<string, unknown>) =>
    Object.fromEntries(
      Object.entries({ r: undefined, lora_alpha: undefined, ...settings, ...more }).filter(
        ([k]) => !drop.includes(k),
      ),
    );
  const whole = await trainTiny(folder, {
    ...without({ output_dir: 'runs/full' }),
    r: undefined,
    lora_alpha: undefined,
  });
  const host = new TestHost((event, self) => {
    if (event.type === 'step' && event.step === 3) self.stopRequested = true;
  });
  await trainTiny(
    folder,
    { ...without({ output_dir: 'runs/full-parts' }), r: undefined, lora_alpha: undefined },
    host,
  );
  const rest = await trainTiny(folder, {
    ...without({ output_dir: 'runs/full-parts', resume_from_checkpoint: true }),
    r: undefined,
    lora_alpha: undefined,
  });
  const model = (run: string) => readFileSync(join(run, 'model', 'model.safetensors'));
  assert.deepEqual(model(rest.run), model(whole.run));
  assert.ok(existsSync(join(rest.run, 'model', 'tokenizer.json')));
});

test('packing trains the same tokens as padding', async () => {
  const padded = new TestHost();
  await trainTiny(folder, { output_dir: 'runs/padded', num_train_epochs: 1 }, padded);
  const packed = new TestHost();
  await trainTiny(folder, { output_dir: 'runs/packed', num_train_epochs: 1, packing: true }, packed);
  const tokens = (host: TestHost) => host.of('step').reduce((sum, step) => sum + step.tokens, 0);
  assert.equal(tokens(packed), tokens(padded));
  assert.ok(packed.of('step').length < padded.of('step').length);
});

test('packed examples do not see each other: the loss of a pack is the mean of its examples', async () => {
  const host = new TestHost();
  await trainTiny(
    folder,
    {
      output_dir: 'runs/pack-eval',
      packing: true,
      max_steps: 1,
      learning_rate: 1e-12,
      eval_dataset: 'eval.jsonl',
    },
    host,
  );
  const alone = new TestHost();
  await trainTiny(
    folder,
    { output_dir: 'runs/alone-eval', max_steps: 1, learning_rate: 1e-12, eval_dataset: 'eval.jsonl' },
    alone,
  );
  const [a, b] = [host.of('eval')[0]!.loss, alone.of('eval')[0]!.loss];
  assert.ok(Math.abs(a - b) < 1e-5 * b, `${a} packed, ${b} alone`);
});

test('accumulation gives the losses of one big batch', async () => {
  const one = new TestHost();
  await trainTiny(
    folder,
    { output_dir: 'runs/big', per_device_train_batch_size: 4, gradient_accumulation_steps: 1, max_steps: 5 },
    one,
  );
  const four = new TestHost();
  await trainTiny(
    folder,
    {
      output_dir: 'runs/small',
      per_device_train_batch_size: 1,
      gradient_accumulation_steps: 4,
      max_steps: 5,
    },
    four,
  );
  one.of('step').forEach((step, i) => {
    const other = four.of('step')[i]!;
    assert.ok(
      Math.abs(step.loss - other.loss) < 1e-5 * step.loss,
      `step ${step.step}: ${step.loss} and ${other.loss}`,
    );
    assert.ok(Math.abs(step.gradNorm! - other.gradNorm!) < 1e-4 * step.gradNorm!);
  });
});

test('early stopping ends the run and the best weights come back', async () => {
  const host = new TestHost();
  const result = await trainTiny(
    folder,
    {
      output_dir: 'runs/early',
      eval_dataset: 'eval.jsonl',
      eval_steps: 1,
      early_stopping_patience: 2,
      load_best_model_at_end: true,
      learning_rate: 1,
      max_steps: 40,
      save_total_limit: 1,
    },
    host,
  );
  assert.equal(host.of('finished')[0]!.reason, 'early-stopping');
  const best = host.of('eval').reduce((low, e) => (e.loss < low.loss ? e : low));
  assert.equal(result.evalLoss, best.loss);
  assert.ok(result.steps < 40);
  const saved = readFileSync(
    join(result.run, 'checkpoints', `step-${best.step}`, 'adapter_model.safetensors'),
  );
  assert.deepEqual(weights(result.run), saved);
});

test('checkpoints come by steps, on request and are pruned', async () => {
  const host = new TestHost((event, self) => {
    if (event.type === 'step' && event.step === 3) self.checkpointRequested = true;
  });
  const result = await trainTiny(
    folder,
    { output_dir: 'runs/saves', save_steps: 2, save_total_limit: 2, max_steps: 7 },
    host,
  );
  assert.deepEqual(
    host.of('checkpoint').map((e) => [e.step, e.reason, e.kept]),
    [
      [2, 'steps', [2]],
      [3, 'asked', [2, 3]],
      [4, 'steps', [3, 4]],
      [6, 'steps', [4, 6]],
      [7, 'end', [6, 7]],
    ],
  );
  assert.deepEqual(readdirSync(join(result.run, 'checkpoints')).sort(), ['step-6', 'step-7']);
});

test('a loss that is not finite stops the run with step, rows and the last checkpoint', async () => {
  const { run } = await trainTiny(folder, { output_dir: 'runs/nan', max_steps: 2, save_steps: 1 });
  // Every weight is finite, but what they compute is not.
  const file = join(folder, 'base', 'model.safetensors');
  const kept = readFileSync(file);
  const { tensors } = await readSafetensors(file);
  const { offset, bytes } = tensors.get('model.norm.weight')!;
  const broken = Buffer.from(kept);
  for (let at = offset; at < offset + bytes; at += 4) broken.writeFloatLE(3e38, at);
  writeFileSync(file, broken);
  try {
    const settings = { output_dir: 'runs/nan', max_steps: 9, resume_from_checkpoint: true };
    const error = await trainTiny(folder, settings).catch((e: unknown) => e);
    assert.ok(error instanceof RunError, String(error));
    assert.equal(error.code, 'loss-not-finite');
    assert.match(error.message, /at step 3\. Rows of the batch: .*train\.jsonl:\d+/);
    assert.match(error.message, /The last good checkpoint is .*step-2/);
    assert.equal(readEvents(join(run, 'events.jsonl')).events.at(-1)!.type, 'failed');
  } finally {
    writeFileSync(file, kept);
  }
});

test('resuming what does not fit names every difference', async () => {
  await trainTiny(folder, { output_dir: 'runs/shape', max_steps: 2 });
  const error = await trainTiny(folder, {
    output_dir: 'runs/shape',
    max_steps: 4,
    r: 2,
    resume_from_checkpoint: true,
  }).catch((e: unknown) => e);
  assert.ok(error instanceof UserError);
  assert.equal(error.code, 'resume-tensors-differ');
  assert.equal(error.problems.length, 28);
});

test('a damaged checkpoint is refused with a remedy', async () => {
  const { run } = await trainTiny(folder, { output_dir: 'runs/damaged', max_steps: 2 });
  writeFileSync(join(run, 'checkpoints', 'step-2', 'progress.json'), '{"version": 1');
  const error = await trainTiny(folder, {
    output_dir: 'runs/damaged',
    max_steps: 4,
    resume_from_checkpoint: true,
  }).catch((e: unknown) => e);
  assert.ok(error instanceof UserError);
  assert.equal(error.code, 'checkpoint-damaged');
});

test('a cancelled run ends at once and says so', async () => {
  const host = new TestHost((event, self) => {
    if (event.type === 'step' && event.step === 2) self.cancelRequested = true;
  });
  const error = await trainTiny(folder, { output_dir: 'runs/cancel', max_steps: 100_000 }, host).catch(
    (e: unknown) => e,
  );
  assert.ok(error instanceof UserError);
  assert.equal(error.code, 'run-cancelled');
  assert.equal(host.of('stopped').length, 1);
});

test('one run trains whatever the batch shapes: lengths from one bucket to many', async () => {
  const long = Array.from({ length: 12 }, (_, i) => ({ text: 'a small fox ran home. '.repeat(1 + i) }));
  writeFileSync(join(folder, 'long.jsonl'), long.map((row) => JSON.stringify(row)).join('\n'));
  const host = new TestHost();
  await trainTiny(
    folder,
    { output_dir: 'runs/shapes', dataset: 'long.jsonl', max_length: 256, num_train_epochs: 2 },
    host,
  );
  assert.ok(host.of('step').every((step) => Number.isFinite(step.loss)));
});

test('a model with dynamic rotary scaling trains on exact lengths', async () => {
  const other = await tinyWorkspace({ ...tinyConfig, rope_scaling: { type: 'dynamic', factor: 2 } });
  try {
    const result = await trainTiny(other.folder, { output_dir: 'runs/dynamic', max_steps: 3 });
    assert.ok(Number.isFinite(result.loss));
  } finally {
    other.clean();
  }
});
