// How CUDA joins a session, as far as a machine without a GPU can tell: its settings, the folder that the library is loaded
// through, a provider that joins by registration, and reasons in place of a process that dies.
import assert from 'node:assert/strict';
import { readlinkSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { RecipeError } from '../../../src/engine/errors';
import { gpuSettings } from '../../../src/engine/execution/deviceSettings';
import { obstacle } from '../../../src/engine/session/cudaLibraries';
import { Environment } from '../../../src/engine/session/environment';
import { openIdentitySession } from '../../../src/engine/session/identitySession';
import { libraryPath, linkedLibrary, loadLibrary } from '../../../src/engine/session/library';
import { OrtApi } from '../../../src/engine/session/ortApi';
import { cudaSettings } from '../../../src/engine/session/providers';
import { epDevices, registerProvider } from '../../../src/engine/session/registeredProvider';
import { elf } from '../cuda/libraryFiles';
import { fails, scratch } from '../files/scratch';

// Before any other library: koffi takes its configuration only then.
const api = OrtApi.from(() => loadLibrary(libraryPath()));

test('settings go by ONNX Runtime’s names', () => {
  const device = { kind: 'cuda' } as const;
  assert.deepEqual(cudaSettings({ device }, 0), {
    device_id: '0',
    arena_extend_strategy: 'kSameAsRequested',
    use_tf32: '0',
  });
  const options = {
    device,
    tf32: true,
    memoryLimitBytes: 2 ** 34,
    arenaGrowth: 'next-power-of-two',
  } as const;
  assert.deepEqual(cudaSettings(options, 3), {
    device_id: '3',
    arena_extend_strategy: 'kNextPowerOfTwo',
    use_tf32: '1',
    gpu_mem_limit: '17179869184',
  });
});

test('the machine’s limits come from its environment', async () => {
  assert.deepEqual(gpuSettings({}), {});
  assert.deepEqual(
    gpuSettings({
      LORA_WORKBENCH_GPU_MEMORY_LIMIT: '1.5 GiB',
      LORA_WORKBENCH_GPU_ARENA: 'next-power-of-two',
    }),
    { memoryLimitBytes: 1.5 * 2 ** 30, arenaGrowth: 'next-power-of-two' },
  );
  assert.deepEqual(gpuSettings({ LORA_WORKBENCH_GPU_QUEUE: '0' }), { queue: false });
  assert.deepEqual(gpuSettings({ LORA_WORKBENCH_CUDA_GRAPH: 'true' }), { graphs: true });
  for (const value of ['auto', 'false'])
    assert.deepEqual(gpuSettings({ LORA_WORKBENCH_CUDA_GRAPH: value }), {});
  assert.equal(gpuSettings({ LORA_WORKBENCH_GPU_MEMORY_LIMIT: '20GB' }).memoryLimitBytes, 20e9);
  for (const [name, value] of [
    ['LORA_WORKBENCH_GPU_MEMORY_LIMIT', 'all'],
    ['LORA_WORKBENCH_GPU_MEMORY_LIMIT', '-1GB'],
    ['LORA_WORKBENCH_GPU_MEMORY_LIMIT', '20 GX'],
    ['LORA_WORKBENCH_GPU_MEMORY_LIMIT', '3'],
    ['LORA_WORKBENCH_GPU_ARENA', 'big'],
    ['LORA_WORKBENCH_GPU_QUEUE', 'no'],
    ['LORA_WORKBENCH_CUDA_GRAPH', '1'],
  ] as const)
    await fails(() => gpuSettings({ [name]: value }), {
      class: RecipeError,
      code: 'setting-invalid',
      says: [name, value],
    });
});

const linux = process.platform === 'linux';

test('the library is linked beside the provider; a link to an older one is put right', {
  skip: !linux,
}, async (t) => {
  const folder = await scratch(t);
  const link = join(folder, 'libonnxruntime.so.1');
  symlinkSync('/gone/libonnxruntime.so.1', link);
  for (let i = 0; i < 2; i++) {
    assert.equal(linkedLibrary(libraryPath(), folder), link);
    assert.equal(readlinkSync(link), realpathSync(libraryPath()));
  }
  await assert.rejects(async () => linkedLibrary(libraryPath(), join(folder, 'none')), {
    code: 'runtime-unlinkable',
  });
});

test('what the provider lacks is told before it is tried', { skip: !linux }, async (t) => {
  const folder = await scratch(t);
  const provider = join(folder, 'provider.so');
  const files = { kind: 'bridge', folder, provider, stored: true } as const;
  writeFileSync(provider, elf({ needed: ['libcublas.so.98', 'libworkbench-none.so.1', 'libc.so.6'] }));
  assert.match(obstacle(files, 0) ?? '', /^libcublas\.so\.98 was not found; libworkbench-none\.so\.1: /);
  // One that is there, but is no library.
  writeFileSync(provider, elf({ needed: ['libcublas.so.97'] }));
  writeFileSync(join(folder, 'libcublas.so.97'), 'no library');
  assert.match(obstacle(files, 0) ?? '', /libcublas\.so\.97: /);
  writeFileSync(provider, elf({ needed: ['libc.so.6'] }));
  assert.equal(obstacle(files, 0), null);
});

test('a provider joins a session as a device of the registry; the CPU’s stands in', async (t) => {
  const environment = new Environment(api, { device: { kind: 'cpu' }, threads: 1 });
  const devices = epDevices(environment);
  const cpu = devices.find((device) => api.get('EpDevice_EpName', device) === 'CPUExecutionProvider');
  assert.ok(cpu !== undefined, `${devices.length} devices`);
  const session = openIdentitySession(api, environment.pointer, 'float32', (options) => {
    const append = 'SessionOptionsAppendExecutionProvider_V2';
    api.call(append, options, environment.pointer, BigUint64Array.of(cpu), 1, [], [], 0);
  });
  assert.ok(session);
  api.get('ReleaseSession', session);
  const folder = await scratch(t);
  writeFileSync(join(folder, 'libx.so'), elf({ name: 'libx.so' }));
  assert.throws(() => registerProvider(environment, join(folder, 'libx.so'), 0), { code: 'runtime-failed' });
  assert.deepEqual(epDevices(environment).length, devices.length);
  environment.release();
});
