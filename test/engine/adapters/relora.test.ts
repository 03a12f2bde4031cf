// ReLoRA's restarts: the output does not change across one, the rank grows, nothing is started dead, a resumed run goes on
// alike; the LoRA form is the merged weight of the formulas (test/reference/formulas.py).
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { tensorsOfSite } from '../../../src/engine/adapters/plan';
import { relora } from '../../../src/engine/adapters/relora';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import type { HostPart, Site } from '../../../src/engine/adapters/variant';
import { readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';

const settings = {
  use_rslora: false,
  init_lora_weights: true,
  settings: { relora_steps: 5, relora_merges: 2, relora_warmup: 2 },
} as unknown as AdapterSettings;
const [inFeatures, outFeatures, r] = [11, 8, 2];
const site = { path: 'p', module: { kind: 'linear' }, inFeatures, outFeatures, r, alpha: 1.5 * r } as Site;

const start = (): Map<string, Float32Array> =>
  new Map([
    ['p.lora_A.weight', new Float32Array(r * inFeatures)],
    ['p.lora_B.weight', new Float32Array(outFeatures * r)],
    ['p.relora_A', new Float32Array(2 * r * inFeatures)],
    ['p.relora_B', new Float32Array(outFeatures * 2 * r)],
  ]);

/** Lets the host see one step; returns what it told and what of the optimizer it reset. */
function step(host: HostPart, values: Map<string, Float32Array>, number: number): [string[], string[]] {
  const reset: string[] = [];
  const told = host.afterUpdate({
    step: number,
    parameters: () => values,
    gradients: () => new Map(),
    write: (changed) => {
      for (const [name, data] of changed) values.set(name, data);
    },
    resetOptimizer: (names) => reset.push(...names),
  });
  return [[...told], reset];
}

function delta(values: Map<string, Float32Array>): Float32Array {
  const { rank, a, b } = relora.loraForm!(site, tensorsOfSite(values, site), settings);
  return Float32Array.from({ length: outFeatures * inFeatures }, (_, i) => {
    const [o, k] = [Math.floor(i / inFeatures), i % inFeatures];
    let sum = 0;
    for (let j = 0; j < rank; j++) sum += b[o * rank + j]! * a[j * inFeatures + k]!;
    return sum;
  });
}

test('merged cycles are those of the formulas, and nothing jumps', async () => {
  const { tensors } = await readSafetensors(
    join('test', 'goldens', 'methods', 'formulas', 'relora', 'tensors.safetensors'),
  );
  const golden = (name: string): Promise<Float32Array> => readTensor(tensors.get(name)!);
  const weight = await golden('weight');
  const values = start();
  const host = relora.host!([site], settings, 100);
  for (const cycle of [0, 1]) {
    values.set('p.lora_A.weight', await golden(`cycle${cycle}.a`));
    values.set('p.lora_B.weight', await golden(`cycle${cycle}.b`));
    const before = delta(values);
    assert.deepEqual(step(host, values, 5 * cycle + 4), [[], []]);
    const [told, reset] = step(host, values, 5 * cycle + 5);
    assert.equal(told.length, 1);
    assert.deepEqual(reset, ['p.lora_A.weight', 'p.lora_B.weight']);
    const after = delta(values);
    const want = await golden(`cycle${cycle}.weight`);
    after.forEach((value, i) => {
      assert.ok(Math.abs(value - before[i]!) <= 1e-6, `ΔW jumps at ${i}`);
      assert.ok(Math.abs(weight[i]! + value - want[i]!) <= 1e-5, `W[${i}] is ${weight[i]! + value}`);
    });
    assert.ok(values.get('p.lora_B.weight')!.every((value) => value === 0));
    assert.ok(
      values.get('p.lora_A.weight')!.every((value) => value !== 0),
      'A is drawn anew, not zeroed',
    );
    assert.equal(relora.loraForm!(site, tensorsOfSite(values, site), settings).rank, r * (cycle + 2));
  }
  assert.deepEqual(step(host, values, 15), [[], []], 'two merges were asked for');
});

test('the rate rises again after a restart, in a resumed run too', () => {
  const host = relora.host!([site], settings, 100);
  assert.equal(host.learningRateFactor!(1), 1);
  step(host, start(), 5);
  const resumed = relora.host!([site], settings, 100);
  resumed.restore(JSON.parse(JSON.stringify(host.state())));
  for (const run of [host, resumed])
    assert.deepEqual(
      [6, 7, 8].map((s) => run.learningRateFactor!(s)),
      [0.5, 1, 1],
    );
});
