// float16 runs: the scale's own rules, a forced overflow that moves nothing, and a run that skips steps and resumes exactly.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSafetensors, readTensor, writeSafetensors } from '../../../src/engine/checkpoint/safetensors';
import { UserError } from '../../../src/engine/errors';
import { isLossScaleState, LossScale } from '../../../src/engine/train/lossScale';
import { openGolden, trainingGoldens } from '../../contracts/goldenTraining';
import { onCpu } from '../session/cpuRuntime';
import { TestHost, tinyConfig, tinyWorkspace, trainTiny } from './tinyRun';

test('the scale halves on an overflow and doubles after 2,000 good steps in a row, as in torch', () => {
  const scale = new LossScale();
  for (let i = 0; i < 1999; i++) scale.stepped(true);
  scale.stepped(false);
  assert.deepEqual(scale.state, { scale: 32768, goodSteps: 0, skipped: 1 });
  for (let i = 0; i < 1999; i++) scale.stepped(true);
  assert.equal(scale.scale, 32768);
  scale.stepped(true);
  assert.deepEqual(scale.state, { scale: 65536, goodSteps: 0, skipped: 1 });
  const other = new LossScale();
  other.restore(scale.state);
  assert.deepEqual(other.state, scale.state);
});

test('a damaged state is told from a whole one', () => {
  assert.ok(isLossScaleState({ scale: 0.5, goodSteps: 3, skipped: 0 }));
  for (const bad of [
    null,
    {},
    { scale: 3, goodSteps: 0, skipped: 0 },
    { scale: 2, goodSteps: -1, skipped: 0 },
  ])
    assert.ok(!isLossScaleState(bad), JSON.stringify(bad));
});

test('an overflow leaves parameters and optimizer as they are; the next step is the one that was skipped', () =>
  onCpu(async (runtime) => {
    const precision = { compute: 'float16', cache: 'float32', device: 'cpu' } as const;
    const folder = join(trainingGoldens, 'llama-lora');
    const run = async (overflowAt: number): Promise<unknown[]> => {
      const golden = await openGolden(runtime, folder, 'selective', precision);
      const { trainer } = golden;
      for (let i = 0; i < 3; i++) {
        if (i === overflowAt) {
          const before = [trainer.state.readAll(), trainer.state.readOptimizer()];
          trainer.lossScale!.restore({ scale: 2 ** 60, goodSteps: 0, skipped: 0 });
          const { loss } = await golden.gradients(i);
          assert.ok(Number.isFinite(loss));
          assert.equal(await trainer.unscale(loss), false);
          assert.deepEqual([trainer.state.readAll(), trainer.state.readOptimizer()], before);
          assert.deepEqual(trainer.lossScale!.state, { scale: 2 ** 59, goodSteps: 0, skipped: 1 });
          trainer.lossScale!.restore({ scale: 65536, goodSteps: 0, skipped: 1 });
        }
        await golden.step(i);
      }
      const result = [trainer.state.readAll(), trainer.state.readOptimizer()];
      golden.release();
      return result;
    };
    assert.deepEqual(await run(1), await run(-1));
  }));

test('a run reports its skipped steps, goes on, and resumes to the same bits', async () => {
  const { folder, clean } = await tinyWorkspace(tinyConfig);
  try {
    // Embeddings so large that the first gradients overflow.
    const path = join(folder, 'base', 'model.safetensors');
    const { tensors } = await readSafetensors(path);
    const scaled = await Promise.all(
      [...tensors.values()].map(async (ref) => {
        const data = await readTensor(ref);
        const factor = ref.name.includes('embed') ? 600 : 1;
        return { name: ref.name, shape: ref.shape, dtype: 'F32' as const, data: data.map((x) => x * factor) };
      }),
    );
    await writeSafetensors(path, scaled, { format: 'pt' });
    const settings = { fp16: true, max_steps: 12, save_strategy: 'no', lora_dropout: 0.2 };
    const host = new TestHost();
    const whole = await trainTiny(folder, { ...settings, output_dir: 'runs/half' }, host);
    assert.equal(host.of('run-started')[0]!.plan.dtype, 'float16');
    const skipped = host.of('step-skipped');
    assert.ok(skipped.length > 0 && skipped.length < 12, `${skipped.length} skipped`);
    assert.deepEqual(
      skipped.map(({ lossScale }) => lossScale),
      skipped.map((_, i) => 65536 / 2 ** (i + 1)),
    );
    assert.equal(host.of('step').length + skipped.length, 12);
    const stopping = new TestHost((event, self) => {
      if (event.type === 'step' && event.step >= 5) self.stopRequested = true;
    });
    await trainTiny(folder, { ...settings, output_dir: 'runs/parts' }, stopping);
    const rest = await trainTiny(folder, {
      ...settings,
      output_dir: 'runs/parts',
      resume_from_checkpoint: true,
    });
    const weights = (run: string): Buffer => readFileSync(join(run, 'adapter', 'adapter_model.safetensors'));
    assert.deepEqual(weights(rest.run), weights(whole.run));
  } finally {
    clean();
  }
});

test('what overflows without any scale ends the run with a remedy', async () => {
  const { folder, clean } = await tinyWorkspace(tinyConfig);
  try {
    const path = join(folder, 'base', 'model.safetensors');
    const { tensors } = await readSafetensors(path);
    const huge = await Promise.all(
      [...tensors.values()].map(async (ref) => {
        const data = await readTensor(ref);
        const factor = ref.name.includes('down_proj') ? 1e6 : 1;
        return { name: ref.name, shape: ref.shape, dtype: 'F32' as const, data: data.map((x) => x * factor) };
      }),
    );
    await writeSafetensors(path, huge, { format: 'pt' });
    await assert.rejects(
      trainTiny(folder, { fp16: true, num_train_epochs: 9, output_dir: 'runs/huge' }),
      (error: unknown) =>
        error instanceof UserError && error.code === 'loss-scale-exhausted' && /bfloat16/.test(error.remedy),
    );
  } finally {
    clean();
  }
});
