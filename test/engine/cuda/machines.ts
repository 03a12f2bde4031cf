// Constructed machines: folders, small files and programs' outputs as a table, and an installed provider in a real folder.
import { mkdirSync, writeFileSync } from 'node:fs';
import { posix } from 'node:path';
import type { Machine } from '../../../src/engine/cuda/machine';
import { installationFolder, manifestName, providerNames } from '../../../src/engine/cuda/storage';
import { elf } from './libraryFiles';

export interface MachineParts {
  platform?: NodeJS.Platform;
  arch?: string;
  env?: Record<string, string>;
  /** Path → content; folders follow from them. */
  files?: Record<string, string>;
  /** Link → target. */
  links?: Record<string, string>;
  /** `program argument …` → output. */
  programs?: Record<string, string>;
}

export function machine({
  platform = 'linux',
  arch = 'x64',
  env = {},
  files = {},
  links = {},
  programs = {},
}: MachineParts = {}): Machine {
  const paths = [...Object.keys(files), ...Object.keys(links)];
  return {
    platform,
    arch,
    env,
    home: '/home/u',
    run: (program, args) => programs[[program, ...args].join(' ')],
    list: (folder) => [
      ...new Set(
        paths
          .filter((path) => path.startsWith(`${folder}/`))
          .map((path) => path.slice(folder.length + 1).split('/')[0] as string),
      ),
    ],
    read: (path) => files[path],
    exists: (path) => paths.includes(path),
    realPath: (path) => links[path] ?? path,
  };
}

export const gpuQuery =
  'nvidia-smi --query-gpu=index,name,memory.total,memory.free,compute_cap --format=csv,noheader,nounits';

/** What the driver's programs and files say. */
export function driver(version: string, cuda: string, gpu = 'NVIDIA H100, 81559, 80000, 9.0'): MachineParts {
  return {
    files: { '/usr/lib/x86_64-linux-gnu/libcuda.so.1': '' },
    programs: {
      [gpuQuery]: `0, ${gpu}\n`,
      'nvidia-smi': `| NVIDIA-SMI ${version}   Driver Version: ${version}   CUDA Version: ${cuda}   |\n`,
    },
  };
}

export const version = '1.30.0';
export const neededOnCuda13 = [
  'libcublasLt.so.13',
  'libcublas.so.13',
  'libcurand.so.10',
  'libcudart.so.13',
  'libcuda.so.1',
  'libc.so.6',
];

/** CUDA's libraries in a Python environment. */
export function pythonLibraries(names: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    names.map((name) => [posix.join('/venv/lib/python3.12/site-packages/nvidia/cu13/lib', name), '']),
  );
}

/** Puts an installation into a storage folder; only its checksums are not true. */
export function installProviderFiles(storage: string, needed: readonly string[] = neededOnCuda13): string {
  const folder = installationFolder(storage, version);
  mkdirSync(folder, { recursive: true });
  const files = providerNames(process.platform).bridge.map((name, i) => {
    const bytes = elf({ needed: i === 0 ? needed : [], content: `\0${version}\0` });
    writeFileSync(`${folder}/${name}`, bytes);
    return { name, bytes: bytes.length, sha256: '0'.repeat(64) };
  });
  const { platform, arch } = process;
  writeFileSync(
    `${folder}/${manifestName}`,
    JSON.stringify({ runtime: version, platform, arch, kind: 'bridge', source: 'here', files }),
  );
  return folder;
}
