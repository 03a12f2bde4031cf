// Adapters that this engine trained and saved, as PEFT sees them: PEFT's logits for our files (test/reference/roundTrip.ts made
// the adapters, check_adapter.py the logits) equal ours within 1e-5 of the logits' deviation.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { readRaw, readSafetensors, readTensor } from '../../src/engine/checkpoint/safetensors';
import { logitsOf } from './adapterGoldens';
import { contractRuntime } from './contractRuntime';

const runtime = contractRuntime();
after(() => runtime.close());
const goldens = join('test', 'goldens', 'roundtrip');

for (const name of readdirSync(goldens)) {
  test(`${name}: PEFT's logits of an adapter trained here`, async () => {
    const folder = join(goldens, name);
    const { base } = JSON.parse(readFileSync(join(folder, 'case.json'), 'utf8')) as { base: string };
    const inputs = (await readSafetensors(join(folder, 'inputs.safetensors'))).tensors;
    const integers = async (key: string): Promise<number[]> =>
      Array.from(new BigInt64Array((await readRaw(inputs.get(key)!)).slice().buffer), Number);
    const [rows, length] = inputs.get('input_ids')!.shape as [number, number];
    const ids = Int32Array.from(await integers('input_ids'));
    const lengths = inputs.has('lengths') ? await integers('lengths') : Array(rows).fill(length);
    const golden = (await readSafetensors(join(folder, 'peft.safetensors'))).tensors.get('logits')!;
    const theirs = await readTensor(golden);
    const ours = await logitsOf(
      runtime,
      join('test', 'goldens', 'models', base),
      { ids, rows, length },
      join(folder, 'adapter'),
    );
    const width = golden.shape.at(-1)!;
    const deviation = Math.sqrt(theirs.reduce((sum, x) => sum + x * x, 0) / theirs.length);
    let worst = 0;
    theirs.forEach((logit, i) => {
      const token = Math.floor(i / width);
      if (token % length < lengths[Math.floor(token / length)]!)
        worst = Math.max(worst, Math.abs(logit - ours[i]!));
    });
    assert.ok(worst <= 1e-5 * Math.max(1, deviation), `largest difference ${worst}, deviation ${deviation}`);
  });
}
