// CUDA libraries from NVIDIA's packages on a local index: the newest wheel of the right major, whole files only.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { installLibraries } from '../../../src/engine/cuda/installLibraries';
import { nvidiaPackage, pipCommand } from '../../../src/engine/cuda/nvidiaPackages';
import { librariesFolder } from '../../../src/engine/cuda/storage';
import { SessionError } from '../../../src/engine/errors';
import { fails, scratch } from '../files/scratch';
import { fileServer } from './fileServer';
import { elf, type ZipMember, zip } from './libraryFiles';

const skip = process.platform !== 'linux' || !['x64', 'arm64'].includes(process.arch);
const system = process.arch === 'arm64' ? 'manylinux_2_27_aarch64' : 'manylinux_2_27_x86_64';
const library = 'libcurand.so.10';
const content = elf({ name: library });
const members: ZipMember[] = [
  { name: `nvidia/cu13/lib/${library}`, content },
  { name: 'nvidia/cu13/include/curand.h', content: Buffer.from('x') },
  { name: 'elsewhere/libother.so', content },
];

test('takes the newest final wheel of the library’s major, and only its libraries', { skip }, async (t) => {
  const server = await fileServer(t, zip(members));
  const storage = join(await scratch(t), 'storage');
  const checksum = createHash('sha256').update(server.content).digest('hex');
  const link = (version: string, platform = system, digest = '0'.repeat(64)): string =>
    `<a href="/file/nvidia_curand-${version}-py3-none-${platform}.whl#sha256=${digest}">x</a>`;
  server.pages['/simple/nvidia-curand/'] = [
    link('9.9.9'),
    link('10.4.2'),
    link('10.10.0', system, checksum),
    link('10.9.1'),
    link('10.11.0rc1'),
    link('11.0.0'),
    link('10.99.0', 'win_amd64'),
  ].join('');
  const options = {
    storage,
    env: { PIP_INDEX_URL: `${server.url}/simple` },
    signal: new AbortController().signal,
    onProgress: () => {},
    cudaMajor: 13,
  };
  assert.deepEqual(await installLibraries([library], options), [library]);
  const folder = librariesFolder(storage);
  assert.deepEqual(readdirSync(folder), [library]);
  assert.deepEqual(readFileSync(join(folder, library)), content);
  assert.deepEqual(readdirSync(join(storage, 'downloads')), []);

  // A package without the library that was asked for, and one whose library is none.
  await fails(() => installLibraries(['libcurand.so.10', 'libcurand_more.so.10'], options), {
    class: SessionError,
    code: 'archive-incomplete',
    says: ['libcurand_more.so.10'],
  });
  server.content = zip([
    { name: `nvidia/cu13/lib/${library}`, content: Buffer.from('no library at all'.repeat(9)) },
  ]);
  const damaged = createHash('sha256').update(server.content).digest('hex');
  server.pages['/simple/nvidia-curand/'] = link('10.10.0', system, damaged);
  await fails(() => installLibraries([library], options), {
    class: SessionError,
    code: 'library-invalid',
    says: [],
  });
  assert.deepEqual(readFileSync(join(folder, library)), content);
  assert.deepEqual(readdirSync(folder), [library]);
  await fails(() => installLibraries([library], { ...options, freeBytes: async () => 0 }), {
    class: SessionError,
    code: 'disk-full',
    says: [],
  });
});

test('names packages as NVIDIA does', () => {
  assert.deepEqual(nvidiaPackage('libcublasLt.so.13', 13), { name: 'nvidia-cublas', major: 13 });
  assert.deepEqual(nvidiaPackage('libcudart.so.12', 12), { name: 'nvidia-cuda-runtime-cu12', major: 12 });
  assert.deepEqual(nvidiaPackage('libcudnn.so.9', 13), { name: 'nvidia-cudnn-cu13', major: 9 });
  assert.deepEqual(nvidiaPackage('cublas64_13.dll', 13), { name: 'nvidia-cublas', major: 13 });
  assert.deepEqual(nvidiaPackage('nvrtc64_130_0.dll', 13), { name: 'nvidia-cuda-nvrtc', major: 13 });
  assert.equal(nvidiaPackage('libc.so.6', 13), undefined);
  assert.equal(pipCommand('libcurand.so.10', 13), 'pip install "nvidia-curand==10.*"');
});
