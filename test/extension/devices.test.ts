// The devices of the form: asked in the background and kept, nothing asked where nothing is trusted, and the list that a
// person chooses from.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type DeviceUse, parseDeviceUse } from '../../src/engine/cuda/deviceUse';
import { Devices } from '../../src/extension/devices';
import type { DeviceFacts } from '../../src/protocol/panels/configure';
import { deviceOptions, deviceSentence } from '../../webview/configure/deviceText';

const gib = 2 ** 30;
const smi = (free: number): DeviceUse[] =>
  parseDeviceUse(
    `0, GPU-a, NVIDIA H200, 143360, 1024, ${free}, 35, Disabled\n1, GPU-b, NVIDIA A100, 40960, 1, 2, [N/A], Enabled\n`,
  );

test('free memory of every device, asked once while it is fresh, by whatever name', async () => {
  let asked = 0;
  const devices = new Devices(
    () => true,
    () => undefined,
    async () => {
      asked++;
      return smi(10 * 1024);
    },
  );
  let told = 0;
  devices.onDidChange(() => told++);
  assert.equal(await devices.free('cuda'), 10 * gib);
  assert.equal(await devices.free('cuda:0'), 10 * gib);
  assert.equal(await devices.free('cuda:1'), null);
  assert.equal(await devices.free('cuda:7'), null);
  assert.ok((await devices.free('cpu'))! > 0);
  assert.deepEqual([asked, told], [1, 1]);
  assert.deepEqual(
    devices.cuda.map(({ id, name, split }) => [id, name, split]),
    [
      ['cuda:0', 'NVIDIA H200', false],
      ['cuda:1', 'NVIDIA A100', true],
    ],
  );
  devices.dispose();
});

test('a driver that fails leaves the memory unknown; it is never the memory of something else', async () => {
  const devices = new Devices(
    () => true,
    () => undefined,
    () => Promise.reject(new Error('gone')),
  );
  assert.equal(await devices.free('cuda:0'), null);
  assert.deepEqual(devices.cuda, []);
});

test('auto means the freest device where the provider is installed, else the CPU', async () => {
  const of = (read: () => Promise<DeviceUse[]>, installed: boolean) =>
    new Devices(
      () => true,
      () => undefined,
      read,
      () => installed,
    ).auto();
  const two = async () =>
    parseDeviceUse('0, GPU-a, A, 1000, 1, 10, 35, Disabled\n1, GPU-b, B, 1000, 1, 900, 0, Disabled\n');
  assert.equal(await of(two, true), 'cuda:1');
  assert.equal(await of(two, false), 'cpu');
  assert.equal(await of(async () => [], true), 'cpu');
});

test('nobody is asked in a folder that is not trusted', async () => {
  const devices = new Devices(
    () => false,
    () => undefined,
    () => assert.fail('a process was started'),
  );
  assert.equal(await devices.free('cuda:0'), null);
  devices.watch().dispose();
});

const choices = [
  { id: 'auto', label: 'A' },
  { id: 'cpu', label: 'C' },
  { id: 'cuda', label: 'N' },
  { id: 'webgpu', label: 'W' },
];
const facts = (change: Partial<DeviceFacts> = {}): DeviceFacts => ({
  id: 'cuda:0',
  name: 'H',
  freeBytes: 61.2 * gib,
  totalBytes: 80 * gib,
  utilization: 0.35,
  split: false,
  ...change,
});

test('found devices stand in the place of the word, which stays while it is chosen', () => {
  const values = (devices: DeviceFacts[], chosen: string): string[] =>
    deviceOptions(choices, devices, chosen).map(({ value }) => value);
  assert.deepEqual(values([], 'auto'), ['auto', 'cpu', 'cuda', 'webgpu']);
  assert.deepEqual(values([facts(), facts({ id: 'cuda:1' })], 'auto'), [
    'auto',
    'cpu',
    'cuda:0',
    'cuda:1',
    'webgpu',
  ]);
  assert.deepEqual(values([facts()], 'cuda'), ['auto', 'cpu', 'cuda', 'cuda:0', 'webgpu']);
  assert.equal(deviceOptions(choices, [facts()], 'auto')[2]?.text, 'cuda:0, 61 GiB free');
  assert.equal(deviceOptions(choices, [facts({ freeBytes: null })], 'auto')[2]?.text, 'cuda:0');
});

test('a device in one sentence', () => {
  assert.equal(deviceSentence(facts()), 'H: 61.20 of 80.00 GiB free, 35 % busy');
  assert.equal(deviceSentence(facts({ freeBytes: null, utilization: null })), 'H: free memory unknown');
  assert.match(deviceSentence(facts({ split: true })), /MIG/);
});
