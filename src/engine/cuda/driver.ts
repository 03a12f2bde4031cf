// Finds NVIDIA's driver: its version, the newest CUDA that it runs, and its devices. Sources are nvidia-smi, the kernel
// module's own file and the driver's library; nothing native is called.
import { posix, win32 } from 'node:path';
import type { CudaGpu } from '../../protocol/cuda';
import type { Machine } from './machine';

export interface Driver {
  /** For example `580.65.06`; null where nothing tells. */
  version: string | null;
  /** Newest CUDA that it runs, for example `13.0`; null where nothing tells. */
  cuda: string | null;
  /** libcuda.so.1 or nvcuda.dll; null where it was not found. */
  library: string | null;
  gpus: readonly CudaGpu[];
}

/** Oldest driver per CUDA major (NVIDIA, "CUDA Compatibility", minor-version compatibility), and the oldest device. */
export const cudaMajors: Readonly<Record<number, { driver: string; capability: number }>> = {
  12: { driver: '525.60.13', capability: 5.0 },
  13: { driver: '580.65.06', capability: 7.5 },
};

/** What there is of the driver; null where there is nothing. `findLibrary` looks where libraries usually lie. */
export function findDriver(
  machine: Machine,
  findLibrary: (name: string) => string | undefined,
): Driver | null {
  const library = driverLibrary(machine, findLibrary);
  const smi = nvidiaSmi(machine);
  const gpus = smi === undefined ? [] : parseGpus(machine.run(smi, query) ?? '');
  const banner = gpus.length > 0 && smi !== undefined ? (machine.run(smi, []) ?? '') : '';
  const module = machine.read('/proc/driver/nvidia/version');
  const version =
    /Driver Version:\s*([\d.]+)/.exec(banner)?.[1] ??
    (module === undefined ? undefined : /^NVRM version:.*?\s(\d{3,4}(?:\.\d+)+)\s/m.exec(module)?.[1]) ??
    (library === null ? undefined : /\.so\.(\d{3,4}(?:\.\d+)+)$/.exec(machine.realPath(library))?.[1]);
  if (version === undefined && library === null && gpus.length === 0) return null;
  const cuda = /CUDA Version:\s*([\d.]+)/.exec(banner)?.[1] ?? newestCuda(version);
  return { version: version ?? null, cuda: cuda ?? null, library, gpus };
}

const query = [
  '--query-gpu=index,name,memory.total,memory.free,compute_cap',
  '--format=csv,noheader,nounits',
];

/** One device a line; lines that are none are skipped. */
function parseGpus(text: string): CudaGpu[] {
  return text.split('\n').flatMap((line) => {
    const [index = '', name = '', total = '', free = '', capability = ''] = line
      .split(',')
      .map((cell) => cell.trim());
    if (!/^\d{1,3}$/.test(index) || name === '') return [];
    return {
      index: Number(index),
      name,
      memoryBytes: mebibytes(total),
      freeBytes: mebibytes(free),
      capability: /^\d+\.\d+$/.test(capability) ? capability : null,
    };
  });
}

function mebibytes(text: string): number | null {
  return /^\d+$/.test(text) ? Number(text) * 2 ** 20 : null;
}

/** nvidia-smi where the driver's installers put it; on Windows never one from the current folder. */
export function nvidiaSmi(machine: Pick<Machine, 'platform' | 'env' | 'exists'>): string | undefined {
  if (machine.platform !== 'win32') return 'nvidia-smi';
  const system = win32.join(machine.env.SystemRoot ?? 'C:\\Windows', 'System32', 'nvidia-smi.exe');
  return machine.exists(system) ? system : undefined;
}

function driverLibrary(machine: Machine, findLibrary: (name: string) => string | undefined): string | null {
  if (machine.platform === 'win32') {
    const path = win32.join(machine.env.SystemRoot ?? 'C:\\Windows', 'System32', 'nvcuda.dll');
    return machine.exists(path) ? path : null;
  }
  // Windows' subsystem for Linux keeps it apart from the usual folders.
  const ofWindows = posix.join('/usr/lib/wsl/lib', 'libcuda.so.1');
  return findLibrary('libcuda.so.1') ?? (machine.exists(ofWindows) ? ofWindows : null);
}

/** The newest CUDA major that a driver surely runs. */
function newestCuda(version: string | undefined): string | undefined {
  if (version === undefined) return undefined;
  const majors = Object.entries(cudaMajors).filter(([, { driver }]) => !isOlder(version, driver));
  const newest = majors.at(-1)?.[0];
  return newest === undefined ? undefined : `${newest}.0`;
}

/** Whether dotted version `a` is older than `b`. */
export function isOlder(a: string, b: string): boolean {
  const [left, right] = [a, b].map((text) => text.split('.').map(Number)) as [number[], number[]];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    const difference = (left[i] ?? 0) - (right[i] ?? 0);
    if (difference !== 0) return difference < 0;
  }
  return false;
}
