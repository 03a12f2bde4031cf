// One training per device, whoever starts it; the CPU may be shared.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RunLock } from '../../../src/engine/run/runLock';
import { busyText, deviceKey, takeDevice, tryDeviceLock } from '../../../src/trainer/deviceLock';

test('one device has one name, within the devices that are visible', () => {
  assert.equal(deviceKey('auto', {}), 'cpu');
  assert.equal(deviceKey('cuda', {}), 'cuda:0');
  assert.equal(deviceKey('cuda:1', {}), 'cuda:1');
  assert.equal(deviceKey('webgpu', {}), 'webgpu');
  assert.equal(deviceKey('cuda', { CUDA_VISIBLE_DEVICES: '3, 1' }), 'cuda:3');
  assert.equal(deviceKey('cuda:1', { CUDA_VISIBLE_DEVICES: '3, 1' }), 'cuda:1');
  assert.equal(deviceKey('cuda:1', { CUDA_VISIBLE_DEVICES: '' }), 'cuda:1');
});

test('the second run on a device hears who has it and what to do; then it is free again', () => {
  const held = takeDevice('cuda:63', '/runs/first');
  assert.ok(held instanceof RunLock);
  assert.deepEqual(tryDeviceLock('cuda:63', '/runs/second'), { pid: process.pid, run: '/runs/first' });
  assert.throws(() => takeDevice('cuda:63', '/runs/second'), {
    code: 'device-busy',
    message: `Process ${process.pid} trains on cuda:63 already: /runs/first.`,
    remedy: 'Wait for it or stop it, or choose another device, for example --device cuda:64.',
  });
  const other = takeDevice('cuda:62', '/runs/second');
  assert.ok(other instanceof RunLock);
  other.release();
  held.release();
  const again = takeDevice('cuda:63', '/runs/second');
  assert.ok(again instanceof RunLock);
  again.release();
  assert.match(busyText('webgpu', { pid: 1, run: null }).remedy, /--device cpu/);
});

test('the CPU is not taken', () => {
  assert.equal(takeDevice('auto', 'a'), undefined);
  assert.equal(takeDevice('cpu', 'b'), undefined);
});
