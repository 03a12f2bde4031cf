// The call `doctor`: the CPU takes a real training step; what is not there says why.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { doctor } from '../../../src/engine/api/doctor';
import { RecipeError } from '../../../src/engine/errors';
import { fails } from '../files/scratch';

const host = {
  emit: () => {},
  stopRequested: false,
  cancelRequested: false,
  takeCheckpointRequest: () => false,
};

test('the CPU takes a step; WebGPU is not tried unasked; every absence has a reason', async () => {
  const result = await doctor({ device: null }, host);
  assert.equal(result.node, process.version);
  assert.match(result.runtime ?? '', /^\d+\.\d+/);
  assert.ok(result.cores >= 1 && result.memoryBytes > 0);
  const [cpu, ...others] = result.devices;
  assert.equal(cpu!.device, 'cpu');
  assert.equal(cpu!.available, true);
  assert.equal(cpu!.trainingStep!.ok, true);
  // Near the loss of guessing among 256 tokens, and no longer at the start.
  assert.ok(cpu!.trainingStep!.loss > 1 && cpu!.trainingStep!.loss < 8, String(cpu!.trainingStep!.loss));
  assert.equal(cpu!.problem, null);
  assert.deepEqual([...new Set(others.map(({ device }) => device.split(':')[0]))], ['cuda', 'webgpu']);
  assert.equal(others.at(-1)!.trainingStep, null);
  for (const { available, problem } of others)
    assert.ok(available || (problem !== null && problem.message.length > 5 && problem.remedy !== undefined));
});

test('one device alone is tried when asked for; a word that is none is refused', async () => {
  const { devices } = await doctor({ device: 'cpu' }, host);
  assert.deepEqual(
    devices.map(({ device }) => device),
    ['cpu'],
  );
  await fails(() => doctor({ device: 'tpu' }, host), {
    class: RecipeError,
    code: 'device-unknown',
    says: ['tpu'],
  });
});
