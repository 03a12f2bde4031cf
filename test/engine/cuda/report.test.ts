// The report on constructed machines: what is missing is named once, with one remedy; what is there is found where it lies.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { isOlder } from '../../../src/engine/cuda/driver';
import { isCudaLibrary } from '../../../src/engine/cuda/libraries';
import type { Machine } from '../../../src/engine/cuda/machine';
import { cudaReport, optionalLibraries } from '../../../src/engine/cuda/report';
import { runtimePackage } from '../../../src/engine/cuda/runtimePackage';
import type { CudaPart, CudaReport } from '../../../src/protocol/cuda';
import { scratch } from '../files/scratch';
import {
  driver,
  gpuQuery,
  installProviderFiles,
  type MachineParts,
  machine,
  neededOnCuda13,
  pythonLibraries,
  version,
} from './machines';

// Providers are looked for as this system names them; the constructed machines are Linux.
const skip = process.platform !== 'linux' || process.arch !== 'x64' || runtimePackage().version !== version;

const cudaLibraries = neededOnCuda13.filter(isCudaLibrary);
const venv = { VIRTUAL_ENV: '/venv' };
const merged = (...parts: MachineParts[]): MachineParts => ({
  env: Object.assign({}, ...parts.map(({ env }) => env)),
  files: Object.assign({}, ...parts.map(({ files }) => files)),
  links: Object.assign({}, ...parts.map(({ links }) => links)),
  programs: Object.assign({}, ...parts.map(({ programs }) => programs)),
});
const withLibraries = (names: readonly string[] = cudaLibraries): MachineParts => ({
  env: venv,
  files: pythonLibraries(names),
});

async function report(t: TestContext, of: Machine, install = true, verify = false): Promise<CudaReport> {
  const storage = await scratch(t);
  if (install) installProviderFiles(storage);
  return cudaReport({ machine: of, library: '/nowhere/lib', version, storage, verify });
}
const part = ({ parts }: CudaReport, name: string): CudaPart => {
  const found = parts.filter((entry) => entry.name === name);
  assert.equal(found.length, 1, `${name}: ${JSON.stringify(parts)}`);
  return found[0]!;
};
/** Names of what is not as it should be, optional things left out. */
const lacking = ({ parts }: CudaReport): string[] =>
  parts.filter(({ state, optional }) => state !== 'ok' && !optional).map(({ name }) => name);

test('everything there: ready, and each library is found where it lies', { skip }, async (t) => {
  const found = await report(t, machine(merged(driver('580.95.05', '13.0'), withLibraries())));
  assert.deepEqual(lacking(found), []);
  assert.equal(found.ready, true);
  assert.deepEqual(found.driver, { version: '580.95.05', cuda: '13.0' });
  assert.deepEqual(found.gpus[0], {
    index: 0,
    name: 'NVIDIA H100',
    memoryBytes: 81559 * 2 ** 20,
    freeBytes: 80000 * 2 ** 20,
    capability: '9.0',
  });
  assert.equal(
    part(found, 'libcudart.so.13').detail,
    '/venv/lib/python3.12/site-packages/nvidia/cu13/lib/libcudart.so.13',
  );
  assert.equal(part(found, 'libnvrtc.so.13').optional, true);
  assert.doesNotMatch(found.text, /cudnn/i);
  assert.ok(found.parts.every(({ name }) => name !== 'libc.so.6' && name !== 'libcuda.so.1'));
  assert.match(found.text, /everything is there/);
});

test('no driver and no GPU', { skip }, async (t) => {
  const found = await report(t, machine(withLibraries()));
  assert.equal(found.ready, false);
  assert.deepEqual(lacking(found), ['driver', 'device']);
  assert.match(part(found, 'driver').remedy ?? '', /580\.65\.06 or newer, or train with device cpu/);
  assert.equal(found.driver, null);
});

test('a driver that is too old names itself, what is needed and which to install', { skip }, async (t) => {
  const found = await report(t, machine(merged(driver('535.104.05', '12.2'), withLibraries())));
  assert.deepEqual(lacking(found), ['driver']);
  const { state, detail, remedy } = part(found, 'driver');
  assert.equal(state, 'wrong');
  assert.match(detail, /535\.104\.05.*12\.2.*CUDA 13.*580\.65\.06/);
  assert.equal(remedy, "Update NVIDIA's driver to 580.65.06 or newer.");
});

test('a driver seen only by its kernel module and its library is told as old all the same', {
  skip,
}, async (t) => {
  const files = {
    '/proc/driver/nvidia/version':
      'NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.54.15  Release Build\nGCC version: 13\n',
    '/proc/driver/nvidia/gpus/0000:01:00.0/information': 'Model: NVIDIA A100',
    '/usr/lib/x86_64-linux-gnu/libcuda.so.1': '',
  };
  const found = await report(t, machine(merged({ files }, withLibraries())));
  assert.deepEqual(found.driver, { version: '550.54.15', cuda: '12.0' });
  assert.deepEqual(lacking(found), ['driver']);
  const links = {
    '/usr/lib/x86_64-linux-gnu/libcuda.so.1': '/usr/lib/x86_64-linux-gnu/libcuda.so.580.82.07',
  };
  const linked = await report(t, machine(merged({ links }, withLibraries())));
  assert.equal(linked.driver?.version, '580.82.07');
});

test('the driver’s library is missing, as in a container without it', { skip }, async (t) => {
  const { programs = {} } = driver('580.95.05', '13.0');
  const found = await report(t, machine(merged({ programs, files: { '/.dockerenv': '' } }, withLibraries())));
  assert.deepEqual(lacking(found), ['driver']);
  assert.match(part(found, 'driver').remedy ?? '', /--gpus all/);
});

test('a missing library is named with the package that holds it', { skip }, async (t) => {
  const there = cudaLibraries.filter((name) => !name.includes('curand'));
  const found = await report(t, machine(merged(driver('580.95.05', '13.0'), withLibraries(there))));
  assert.deepEqual(lacking(found), ['libcurand.so.10']);
  assert.match(
    part(found, 'libcurand.so.10').remedy ?? '',
    /CUDA 13 toolkit, or pip install "nvidia-curand==10\.\*"/,
  );
  assert.match(found.text, /libcurand\.so\.10: missing.*\n +→ Install/);
});

test('a GPU that CUDA 13 no longer runs on', { skip }, async (t) => {
  const old = driver('580.95.05', '13.0', 'Tesla P100-PCIE-16GB, 16384, 16000, 6.0');
  const found = await report(t, machine(merged(old, withLibraries())));
  assert.deepEqual(lacking(found), ['device']);
  assert.match(part(found, 'device').detail, /P100 *.*\(6\.0\).*7\.5/);
});

test('without the provider’s files it says how to get them, and guesses at no library', {
  skip,
}, async (t) => {
  const found = await report(t, machine(merged(driver('580.95.05', '13.0'), withLibraries())), false);
  assert.deepEqual(lacking(found), ['provider']);
  assert.match(part(found, 'provider').remedy ?? '', /doctor --install-cuda/);
  assert.deepEqual(
    found.parts.map(({ name }) => name),
    ['driver', 'device', 'provider'],
  );
});

test('files that are not what was installed are told from their checksums', { skip }, async (t) => {
  const found = await report(t, machine(merged(driver('580.95.05', '13.0'), withLibraries())), true, true);
  assert.deepEqual(lacking(found), ['provider']);
  assert.match(part(found, 'provider').detail, /is not what was installed/);
});

test('a provider that is damaged, or one file short', { skip }, async (t) => {
  const storage = await scratch(t);
  const folder = installProviderFiles(storage);
  const name = 'libonnxruntime_providers_cuda.so';
  const look = () =>
    cudaReport({
      machine: { ...machine(), arch: process.arch },
      library: '/nowhere/lib',
      version,
      storage,
      verify: false,
    });
  assert.equal(part(await look(), 'provider').state, 'ok');
  const size = Buffer.alloc(installedBytes(storage, name));
  writeFileSync(join(folder, name), size);
  assert.match(part(await look(), 'provider').detail, /no library that can be read/);
  writeFileSync(join(folder, name), 'short');
  assert.equal(part(await look(), 'provider').state, 'missing');
});

function installedBytes(storage: string, name: string): number {
  const folder = installProviderFiles(storage);
  const { files } = require(join(folder, 'installation.json')) as {
    files: { name: string; bytes: number }[];
  };
  return files.find((file) => file.name === name)!.bytes;
}

test('finds libraries in every usual place', { skip }, async (t) => {
  const name = 'libcudart.so.13';
  const places: [string, MachineParts][] = [
    ['/own/libcudart.so.13', { env: { LORA_WORKBENCH_CUDA_LIBRARIES: '/else:/own' } }],
    ['/ld/libcudart.so.13', { env: { LD_LIBRARY_PATH: 'relative:/ld' } }],
    ['/cuda/lib64/libcudart.so.13', { env: { CUDA_HOME: '/cuda' } }],
    ['/usr/local/cuda-13.0/lib64/libcudart.so.13', {}],
    [
      '/conda/lib/python3.11/site-packages/nvidia/cuda_runtime/lib/libcudart.so.13',
      { env: { CONDA_PREFIX: '/conda' } },
    ],
    ['/conda/lib/libcudart.so.13', { env: { CONDA_PREFIX: '/conda' } }],
    [
      '/py/lib/python3.13/site-packages/nvidia/cu13/lib/libcudart.so.13',
      { env: { PATH: '/usr/bin:/py/bin' } },
    ],
    ['/home/u/.local/lib/python3.12/site-packages/torch/lib/libcudart.so.13', {}],
    ['/home/u/miniforge3/envs/ml/lib/python3.12/site-packages/nvidia/cu13/lib/libcudart.so.13', {}],
  ];
  for (const [path, parts] of places) {
    const found = await report(t, machine(merged(parts, { files: { [path]: '' } })));
    assert.equal(part(found, name).detail, path);
  }
  const cached = `\t${name} (libc6,x86-64) => /odd/place/${name}\n`;
  const found = await report(t, machine({ programs: { '/sbin/ldconfig -p': cached } }));
  assert.equal(part(found, name).detail, `/odd/place/${name}`);
  assert.equal(part(await report(t, machine()), name).state, 'missing');
});

test('macOS has no CUDA, and is told what works', async () => {
  const found = await cudaReport({
    machine: machine({ platform: 'darwin', arch: 'arm64' }),
    library: '/nowhere/lib',
    version,
    storage: '/nowhere',
    verify: false,
  });
  assert.equal(found.supported, false);
  assert.match(found.text, /no CUDA for darwin arm64/);
  assert.match(found.text, /device cpu, or with device webgpu, which uses Metal/);
});

test('nonsense from nvidia-smi makes no device', { skip }, async (t) => {
  const programs = { [gpuQuery]: 'NVIDIA-SMI has failed\n, , ,\n999999, x, 1\n', 'nvidia-smi': 'nothing' };
  assert.deepEqual(lacking(await report(t, machine(merged({ programs }, withLibraries())))), [
    'driver',
    'device',
  ]);
});

test('compares versions by number, and names optional libraries of the same CUDA', () => {
  assert.equal(isOlder('525.60.13', '580.65.06'), true);
  assert.equal(isOlder('580.65.06', '580.65.06'), false);
  assert.equal(isOlder('1000.1', '580.65'), false);
  assert.equal(isOlder('12.9', '13.0'), true);
  assert.deepEqual(optionalLibraries(['libcudart.so.12']), ['libnvrtc.so.12']);
  assert.deepEqual(optionalLibraries(['cudart64_13.dll', 'cublas64_13.dll']), ['nvrtc64_130_0.dll']);
  assert.deepEqual(optionalLibraries(['libc.so.6']), []);
});
