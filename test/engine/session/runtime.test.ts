// The runtime as a whole: one per process, its arena, its limits, devices that are not there, copies through a device.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DType } from '../../../src/engine/dtype';
import { dtypes } from '../../../src/engine/dtype';
import type { DeviceKind } from '../../../src/engine/session';
import { openRuntime } from '../../../src/engine/session';
import { Accelerator } from '../../../src/engine/session/accelerator';
import { Environment } from '../../../src/engine/session/environment';
import { libraryPath, loadLibrary } from '../../../src/engine/session/library';
import { OrtApi, statusError } from '../../../src/engine/session/ortApi';
import { Tensor } from '../../../src/engine/session/tensor';
import { onCpu, sessionError } from './cpuRuntime';
import { longModel } from './tinyModel';

async function runProducts(n: number, memoryLimitBytes?: number) {
  let memory: ReturnType<ReturnType<typeof openRuntime>['memory']> | undefined;
  await onCpu(
    async (runtime) => {
      const session = await runtime.createSession(longModel(n, 6));
      const tensor = () => runtime.allocate('float32', [n, n]);
      session.bindInput('x', tensor());
      session.bindInput('w', tensor());
      session.bindOutput('y', tensor());
      await session.run();
      // A second session takes its memory from the same arena: nothing is added.
      const before = runtime.memory();
      const second = await runtime.createSession(longModel(n, 6));
      second.bindInput('x', tensor());
      second.bindInput('w', tensor());
      second.bindOutput('y', tensor());
      await second.run();
      memory = runtime.memory();
      assert.equal(memory.reservedBytes, before.reservedBytes);
      assert.equal(memory.tensorBytes, 6 * n * n * 4);
    },
    { memoryLimitBytes },
  );
  return memory!;
}

test('the arena counts its peak, holds no more than that, and is shared by the sessions', async () => {
  const n = 512;
  const memory = await runProducts(n);
  // Five intermediate matrices, of which two are alive at a time.
  assert.equal(memory.peakBytes, 2 * n * n * 4);
  assert.equal(memory.reservedBytes, memory.peakBytes);
  assert.equal(memory.inUseBytes, 0);
});

test('a memory limit is kept, and its breach is named', async () => {
  await assert.rejects(runProducts(512, 512 * 512 * 4), sessionError('out-of-memory'));
  assert.equal((await runProducts(512, 3 * 512 * 512 * 4)).peakBytes, 2 * 512 * 512 * 4);
});

test('one runtime is open at a time, and can be opened again', async () => {
  await onCpu((runtime) => {
    assert.match(runtime.versions.runtime, /^\d+\.\d+\.\d+/);
    assert.deepEqual(runtime.device, { kind: 'cpu', index: 0 });
    assert.throws(() => openRuntime({ device: { kind: 'cpu' } }), sessionError('runtime-open'));
    const [cpu] = runtime.availableDevices();
    assert.equal(cpu?.kind, 'cpu');
    assert.ok(cpu?.name);
  });
  await onCpu((runtime) => assert.equal(runtime.memory().inUseBytes, 0));
});

for (const kind of ['cuda', 'webgpu'] satisfies DeviceKind[]) {
  test(`${kind} either opens and computes or says why not, and the CPU works afterwards`, async () => {
    let runtime: ReturnType<typeof openRuntime> | undefined;
    try {
      runtime = openRuntime({ device: { kind } });
    } catch (error) {
      assert.ok(
        sessionError('device-unavailable', new RegExp(`^The device ${kind}:0 cannot be opened: .`))(error),
      );
    }
    if (runtime) {
      const x = runtime.fromHost('float32', [2, 2], Float32Array.of(0, 1, 1, 0));
      assert.deepEqual(runtime.read(x), Float32Array.of(0, 1, 1, 0));
      const session = await runtime.createSession(longModel(2, 3), { disableCpuFallback: true });
      const y = runtime.allocate('float32', [2, 2]);
      session.bindInput('x', x);
      session.bindInput('w', x);
      session.bindOutput('y', y);
      await session.run();
      assert.deepEqual(runtime.read(y), Float32Array.of(1, 0, 0, 1));
      await runtime.close();
    }
    await onCpu((cpu) => assert.equal(cpu.device.kind, 'cpu'));
  });
}

test('what accelerators do with device memory is right when the CPU stands in for the device', () => {
  const api = OrtApi.from(() => loadLibrary(libraryPath()));
  const environment = new Environment(api, { device: { kind: 'cpu' }, threads: 1 });
  const device = new Accelerator(environment, {
    kind: 'webgpu',
    index: 0,
    remedy: 'None.',
    check: () => {},
    append: (options) => api.call('AddSessionConfigEntry', options, 'session.disable_cpu_ep_fallback', '0'),
    shareArena: () => true,
  });
  for (const dtype of Object.keys(dtypes) as DType[]) {
    const shape = [48 / dtypes[dtype].bytes];
    const data = Uint8Array.from({ length: 48 }, (_, i) => (dtype === 'bool' ? i % 2 : i));
    const tensor = new Tensor(dtype, shape, true, device.allocate(dtype, shape, true), () => {});
    assert.equal(tensor.address, null);
    const back = new Uint8Array(48).fill(1);
    device.transfers.download(tensor, back);
    assert.deepEqual(back, new Uint8Array(48), dtype);
    device.transfers.upload(tensor, data);
    device.transfers.download(tensor, back);
    assert.deepEqual(back, data, dtype);
    const other = new Tensor(dtype, shape, true, device.allocate(dtype, shape, false), () => {});
    device.transfers.copy(tensor, other);
    back.fill(0);
    device.transfers.fetch(other, back);
    assert.deepEqual(back, data, `${dtype} copied`);
    other.release();
    assert.ok(device.arenaStats().inUse >= 48);
    tensor.release();
    assert.equal(device.arenaStats().inUse, 0);
  }
  const empty = new Tensor('float32', [0, 2], true, device.allocate('float32', [0, 2], true), () => {});
  device.transfers.upload(empty, new Uint8Array(0));
  device.transfers.download(empty, new Uint8Array(0));
  empty.release();
  device.release();
  environment.release();
});

test('platforms without a library are named', () => {
  assert.throws(() => libraryPath('freebsd', 'x64'), sessionError('platform-unsupported', /freebsd x64/));
  assert.throws(() => libraryPath('linux', 'ia32'), sessionError('platform-unsupported', /linux ia32/));
  assert.throws(
    () => loadLibrary('/nowhere/libonnxruntime.so.1'),
    sessionError('runtime-unloadable', /nowhere/),
  );
});

test('statuses become errors with a code', () => {
  const oom = 'Failed to allocate memory for requested buffer of size 4096';
  assert.equal(statusError('RunWithBinding', 1, oom).code, 'out-of-memory');
  assert.equal(
    statusError('RunWithBinding', 1, 'CUDA failure 2: out of memory ; GPU=0').code,
    'out-of-memory',
  );
  assert.equal(
    statusError('Run', 1, 'Exiting due to terminate flag being set to true.').code,
    'run-cancelled',
  );
  const other = statusError('Run', 2, '/src/a/b.cc:12 void f() x == y was false. Bad input');
  assert.match(other.message, /\(Run\): Bad input$/);
  assert.deepEqual(other.facts, { ort_function: 'Run', ort_code: 2 });
});
