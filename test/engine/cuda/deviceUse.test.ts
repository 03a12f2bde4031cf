// What nvidia-smi says of devices now: several of them, split ones, cells that tell nothing, no program; a program on the
// path that is asked as the real one is, and the watch that tells a run's log what has changed.
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as wait } from 'node:timers/promises';
import {
  cudaDevice,
  type DeviceUse,
  parseDeviceUse,
  readDeviceUse,
} from '../../../src/engine/cuda/deviceUse';
import { SessionError } from '../../../src/engine/errors';
import { availableMemory } from '../../../src/engine/estimate/availableMemory';
import { type DeviceSample, DeviceWatch, isNews } from '../../../src/engine/run/deviceWatch';
import { scratch } from '../files/scratch';

const gib = 2 ** 30;
const two = [
  '0, GPU-aaaa1111-0, NVIDIA H200, 143771, 1024, 142000, 87, Disabled',
  '1, GPU-bbbb2222-1, NVIDIA A100-SXM4-40GB, 40960, [N/A], [N/A], [Not Supported], [N/A]',
  '',
].join('\n');

test('several devices; what is not told is null', () => {
  const [first, second, ...none] = parseDeviceUse(two);
  assert.deepEqual(first, {
    index: 0,
    uuid: 'GPU-aaaa1111-0',
    name: 'NVIDIA H200',
    memoryTotalBytes: 143771 * 2 ** 20,
    memoryUsedBytes: gib,
    memoryFreeBytes: 142000 * 2 ** 20,
    utilization: 0.87,
    split: false,
  });
  assert.deepEqual(
    [second?.memoryTotalBytes, second?.memoryUsedBytes, second?.memoryFreeBytes, second?.utilization],
    [40960 * 2 ** 20, null, null, null],
  );
  assert.equal(none.length, 0);
});

test('of a split device nothing is told, for its numbers are those of all parts', () => {
  const [device] = parseDeviceUse('0, GPU-a, NVIDIA A100, 40960, 37, 40000, [N/A], Enabled\n');
  assert.deepEqual(
    [device?.split, device?.memoryTotalBytes, device?.memoryFreeBytes, device?.utilization],
    [true, null, null, null],
  );
});

test('nonsense is no device', () => {
  assert.deepEqual(
    parseDeviceUse('NVIDIA-SMI has failed\n, , , ,\n1234, x, y, 1\nNo devices were found\n'),
    [],
  );
  const [device] = parseDeviceUse('0, GPU-a, X, 99999999999999, -1, 1e9, 250, Disabled');
  assert.deepEqual(
    [device?.memoryTotalBytes, device?.memoryUsedBytes, device?.memoryFreeBytes],
    [null, null, null],
  );
  assert.equal(device?.utilization, 1);
});

test('numbers count within CUDA_VISIBLE_DEVICES', () => {
  const devices = parseDeviceUse(two);
  const named = (number: number, visible?: string): string | undefined =>
    cudaDevice(devices, number, visible)?.name;
  assert.equal(named(1), 'NVIDIA A100-SXM4-40GB');
  assert.equal(named(0, '1,0'), 'NVIDIA A100-SXM4-40GB');
  assert.equal(named(0, 'GPU-bbbb'), 'NVIDIA A100-SXM4-40GB');
  assert.equal(named(1, '0'), undefined);
  assert.equal(named(1, '0,-1,1'), undefined);
  assert.equal(named(0, ''), undefined);
  assert.equal(named(0, 'MIG-aaaa1111'), undefined);
});

const posix = process.platform === 'win32' ? 'a shell script stands for the program' : false;

/** Puts a program called nvidia-smi first on the path. */
async function fakeDriver(t: Parameters<typeof scratch>[0], script: string): Promise<void> {
  const folder = await scratch(t);
  const before = process.env.PATH;
  writeFileSync(join(folder, 'nvidia-smi'), `#!/bin/sh\n${script}\n`);
  chmodSync(join(folder, 'nvidia-smi'), 0o755);
  process.env.PATH = `${folder}:/usr/bin:/bin`;
  t.after(() => {
    process.env.PATH = before;
  });
}

test('the program on the path is asked for exactly what is read', { skip: posix }, async (t) => {
  // It answers the fields in the order in which it is asked for them, as the real one does.
  const values =
    'index) printf 0;; uuid) printf GPU-a;; name) printf H;; memory.total) printf 4096;; memory.used) printf 1024;; memory.free) printf 3000;; utilization.gpu) printf 50;; mig.mode.current) printf Disabled;;';
  await fakeDriver(
    t,
    `q=\${1#--query-gpu=}; IFS=,; s=; for f in $q; do printf "$s"; case $f in ${values} *) exit 2;; esac; s=", "; done; echo`,
  );
  const [device] = await readDeviceUse();
  assert.deepEqual(
    [device?.name, device?.memoryTotalBytes, device?.memoryUsedBytes, device?.utilization],
    ['H', 4 * gib, gib, 0.5],
  );
  assert.equal(await availableMemory({ kind: 'cuda', index: 0 }), 3000 * 2 ** 20);
});

test('a program that fails, and none at all', { skip: posix }, async (t) => {
  await fakeDriver(t, 'echo "Failed to initialize NVML"; exit 9');
  assert.deepEqual(await readDeviceUse(), []);
  process.env.PATH = '/nowhere';
  assert.deepEqual(await readDeviceUse(), []);
  await assert.rejects(
    availableMemory({ kind: 'cuda', index: 0 }),
    (error) => error instanceof SessionError && error.code === 'device-memory-unknown',
  );
});

test('a split device is named as the reason', { skip: posix }, async (t) => {
  await fakeDriver(t, 'echo "0, GPU-a, H, 40960, 37, 40000, [N/A], Enabled"');
  await assert.rejects(availableMemory({ kind: 'cuda', index: 0 }), /MIG/);
});

function use(change: Partial<DeviceUse> = {}): DeviceUse {
  const memory = { memoryTotalBytes: 40 * gib, memoryUsedBytes: 10 * gib, memoryFreeBytes: 29 * gib };
  return { index: 0, uuid: 'GPU-a', name: 'H', utilization: 0.9, split: false, ...memory, ...change };
}

/** Gives a watch the answers one after another, waits for the last, and returns what was told. */
async function watched(answers: readonly (readonly DeviceUse[])[]): Promise<DeviceSample[]> {
  const told: DeviceSample[] = [];
  let asked = 0;
  let done = (): void => undefined;
  const ended = new Promise<void>((resolve) => {
    done = resolve;
  });
  const watch = new DeviceWatch({
    index: 0,
    intervalMs: 1,
    tell: (sample) => told.push(sample),
    read: async () => {
      const answer = answers[asked++];
      if (answer === undefined) done();
      return answer ?? [];
    },
  });
  // The watch's own timers hold no process.
  const alive = setInterval(() => undefined, 1000);
  await ended;
  watch.stop();
  clearInterval(alive);
  return told;
}

test('a watch tells what changed and nothing else', async () => {
  const told = await watched([
    [use()],
    [use({ utilization: 0.85, memoryUsedBytes: 10 * gib + 2 ** 20 })],
    [use({ utilization: 0.2 })],
    [use({ utilization: 0.2, memoryUsedBytes: 20 * gib })],
    [use({ utilization: null, memoryUsedBytes: null })],
    [use({ utilization: null, memoryUsedBytes: 20 * gib })],
  ]);
  assert.deepEqual(
    told.map(({ utilization, memoryUsedBytes }) => [utilization, memoryUsedBytes && memoryUsedBytes / gib]),
    [
      [0.9, 10],
      [0.2, 10],
      [0.2, 20],
      [null, 20],
    ],
  );
  assert.equal(told[0]?.device, 'cuda:0');
});

test('a steady device is told once in a while', () => {
  const sample = { device: 'cuda:0', name: 'H', memoryUsedBytes: 1, memoryTotalBytes: 10, utilization: 1 };
  assert.equal(isNews(sample, sample, 29_000), false);
  assert.equal(isNews(sample, sample, 30_000), true);
});

test('where nobody answers, nobody is asked for ever; a stopped watch says nothing', async () => {
  let asked = 0;
  const watch = new DeviceWatch({
    index: 0,
    intervalMs: 1,
    tell: () => assert.fail('there is nothing to tell'),
    read: async () => {
      asked++;
      return [];
    },
  });
  for (let i = 0; i < 50 && asked < 3; i++) await wait(2);
  await wait(20);
  assert.equal(asked, 3);
  watch.stop();

  let answer: (devices: DeviceUse[]) => void = () => undefined;
  const late = new DeviceWatch({
    index: 0,
    tell: () => assert.fail('it was stopped'),
    read: () =>
      new Promise((resolve) => {
        answer = resolve;
      }),
  });
  late.stop();
  answer([use()]);
  await wait(5);
});
