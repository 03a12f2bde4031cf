// What CUDA itself takes of a device: an estimate until a run has measured it, then what is remembered for exactly that
// device and runtime; and what of a run's forecast is held against the device.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { type DeviceUse, parseDeviceUse } from '../../../src/engine/cuda/deviceUse';
import {
  ContextMeter,
  deviceContext,
  estimatedBytes,
  rememberContext,
} from '../../../src/engine/estimate/deviceContext';
import { forecast, withContext } from '../../../src/engine/estimate/forecast';
import { precisionFor } from '../../../src/engine/graph/precision';
import { readInputs } from '../../../src/engine/train/inputs';
import { planFacts } from '../../../src/engine/train/opening';
import { scratch } from '../files/scratch';
import { TestHost, tinyRecipe, tinyWorkspace } from '../train/tinyRun';

const mib = 2 ** 20;

test('an estimate until it was measured, for that device and that runtime alone', async (t) => {
  const folder = await scratch(t);
  const estimate = { bytes: estimatedBytes, measured: false };
  assert.deepEqual(deviceContext('H', folder, '1.30.0'), estimate);
  await rememberContext('H', 300 * mib, folder, '1.30.0');
  await rememberContext('A', 200 * mib, folder, '1.30.0');
  await rememberContext('H', 310 * mib, folder, '1.30.0');
  assert.deepEqual(deviceContext('H', folder, '1.30.0'), { bytes: 310 * mib, measured: true });
  assert.deepEqual(deviceContext('A', folder, '1.30.0'), { bytes: 200 * mib, measured: true });
  for (const [name, runtime] of [
    ['H', '1.31.0'],
    ['B', '1.30.0'],
    [undefined, '1.30.0'],
  ] as const)
    assert.deepEqual(deviceContext(name, folder, runtime), estimate);
  const file = join(folder, 'contexts.json');
  for (const broken of [
    '',
    '[]',
    '{"contexts":7}',
    '{"contexts":[null,{"device":"H","runtime":"1.30.0","bytes":-5},{"device":"H","runtime":"1.30.0","bytes":"9"}]}',
  ]) {
    writeFileSync(file, broken);
    assert.deepEqual(deviceContext('H', folder, '1.30.0'), estimate);
  }
});

test('measured once: what the device lost, without the arena, when that stands still', async () => {
  const use = (free: number): DeviceUse[] =>
    parseDeviceUse(`0, GPU-a, H, 80000, 1000, ${free}, 35, Disabled\n`);
  const found: [string, number][] = [];
  const meter = (free: number): ContextMeter =>
    new ContextMeter(use(free), 0, async (name, bytes) => void found.push([name, bytes]));
  const one = meter(70_000);
  assert.equal(one.name, 'H');
  await one.seen(use(60_000)[0]!, 4000 * mib);
  // The arena has grown since the look before.
  await one.seen(use(59_000)[0]!, 5000 * mib);
  assert.equal(found.length, 0);
  await one.seen(use(64_600)[0]!, 5000 * mib);
  await one.seen(use(60_000)[0]!, 5000 * mib);
  assert.deepEqual(found, [['H', 400 * mib]]);
  // Another program has come or gone meanwhile.
  for (const free of [50_000, 68_000]) {
    const disturbed = meter(70_000);
    for (const _ of [0, 1]) await disturbed.seen(use(free)[0]!, 5000 * mib);
  }
  // Nothing told of the device before.
  const blind = new ContextMeter([], 0, async (name, bytes) => void found.push([name, bytes]));
  for (const _ of [0, 1]) await blind.seen(use(64_600)[0]!, 5000 * mib);
  assert.equal(found.length, 1);
});

test('a run is held against what it takes on its device: CUDA’s own part, nothing of system memory', async () => {
  const { folder, clean } = await tinyWorkspace();
  try {
    for (const device of ['cuda', 'cpu'] as const) {
      const { recipe } = tinyRecipe(folder, { device, dtype: 'float32', optim: 'paged_adamw' });
      const inputs = await readInputs(recipe, new TestHost());
      const precision = precisionFor('float32', device);
      const own = device === 'cuda' ? { bytes: 300 * mib, measured: true } : null;
      const plain = forecast(inputs.model, recipe, inputs.plan, precision);
      const steps = { totalSteps: 1, stepsPerEpoch: 1 };
      const { predictedPeakBytes } = planFacts(recipe, inputs, precision, steps, own);
      assert.equal(predictedPeakBytes, plain.deviceBytes + (own?.bytes ?? 0));
      const whole = withContext(plain, own);
      assert.equal(whole.totalBytes, whole.deviceBytes + whole.hostBytes);
      assert.equal(whole.parts.workspace, plain.parts.workspace + (own?.bytes ?? 0));
      if (device === 'cuda') assert.ok(plain.hostBytes > 160 * mib);
      else assert.equal(predictedPeakBytes, plain.totalBytes);
    }
  } finally {
    clean();
  }
});
