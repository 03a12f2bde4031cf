// The loss curve is PEFT's: 50 steps from the same tensors on the same batches, each loss within 1e-4 relative, the final
// tensors within 1e-3 (goldens: test/reference/training.py).
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readAdapterFolder } from '../../src/engine/adapters/peftFile';
import { openCheckpoint } from '../../src/engine/checkpoint/folder';
import { readTensor } from '../../src/engine/checkpoint/safetensors';
import { openRuntime } from '../../src/engine/session';
import { isAdapter } from '../../src/engine/train/output';
import { openGolden, trainingGoldens } from './goldenTraining';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
after(() => runtime.close());

for (const name of readdirSync(trainingGoldens)) {
  for (const checkpointing of ['none', 'selective', 'full'] as const) {
    test(`${name}, ${checkpointing} checkpointing: PEFT's losses and tensors`, () =>
      compare(name, checkpointing));
  }
}

async function compare(name: string, checkpointing: 'none' | 'selective' | 'full'): Promise<void> {
  const golden = await openGolden(runtime, name, checkpointing);
  const { expected, plan, trainer } = golden;
  for (const [i, want] of expected.steps.entries()) {
    const { loss, norm, learningRate, trainedTokens } = await golden.step(i);
    assert.equal(trainedTokens, want.trainedTokens);
    assert.ok(
      Math.abs(learningRate - want.learningRate) <= 1e-9,
      `step ${i}: rate ${learningRate}, PEFT's ${want.learningRate}`,
    );
    assert.ok(Math.abs(loss - want.loss) <= 1e-4 * want.loss, `step ${i}: loss ${loss}, PEFT's ${want.loss}`);
    assert.ok(
      Math.abs(norm - want.gradNorm) <= 1e-3 * want.gradNorm,
      `step ${i}: norm ${norm}, PEFT's ${want.gradNorm}`,
    );
  }
  const folder = join(trainingGoldens, name);
  const finals = existsSync(join(folder, 'final_adapter'))
    ? (await readAdapterFolder(join(folder, 'final_adapter'))).tensors
    : (await openCheckpoint(join(folder, 'final_model'))).tensors;
  for (const [tensor, values] of trainer.state.readAll()) {
    const key = isAdapter(plan) ? `base_model.model.${tensor}` : tensor;
    const entry = finals.get(key)!;
    const want = 'read' in entry ? await entry.read() : await readTensor(entry);
    const width = values.length / plan.tensors.find((t) => t.name === tensor)!.shape[0]!;
    const skipped = expected.undetermined.filter((u) => u.name === key);
    values.forEach((value, i) => {
      const row = Math.floor(i / width);
      if (skipped.some(({ rows: [from, to] }) => row >= from && row < to)) return;
      assert.ok(Math.abs(value - want[i]!) <= 1e-3, `${tensor}[${i}] is ${value}, PEFT's ${want[i]}`);
    });
  }
  golden.release();
}
