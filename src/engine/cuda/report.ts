// What training on CUDA needs, what of it is there, and one remedy for each thing that is not: as data and as text.
import type { CudaPart, CudaReport } from '../../protocol/cuda';
import { sha256OfFile } from './checksum';
import { cudaMajors, type Driver, findDriver, isOlder } from './driver';
import { isCudaLibrary, LibrarySearch } from './libraries';
import { readLibraryHeader } from './libraryHeader';
import type { Machine } from './machine';
import { pipCommand } from './nvidiaPackages';
import { findProvider, ownFolders, type ProviderFiles, providerNames, readInstallation } from './storage';

export interface CudaLookup {
  machine: Machine;
  /** The runtime's library. */
  library: string;
  version: string;
  /** The product's own folder. */
  storage: string;
  /** Whether installed files are compared with their checksums. */
  verify: boolean;
}

const install = 'Run lora-workbench doctor --install-cuda, or the command Install CUDA Runtime.';

/** Looks at everything; raises nothing. */
export async function cudaReport(lookup: CudaLookup): Promise<CudaReport> {
  const { machine, version } = lookup;
  if (!isSupported(machine.platform, machine.arch)) return unsupported(machine, version);

  const provider = findProvider(lookup.library, lookup.storage);
  const search = new LibrarySearch(machine, ownFolders(provider, lookup.storage));
  const driver = findDriver(machine, (name) => search.find(name));
  const parts: CudaPart[] = [];
  const needed: string[] = [];
  const files = await providerPart(lookup, provider, needed);
  const major = cudaMajor(needed);
  parts.push(driverPart(driver, major, machine), devicePart(driver, major, machine), files);
  const libraries = needed.filter(isCudaLibrary);
  for (const name of libraries) parts.push(libraryPart(name, search, major, false));
  for (const name of optionalLibraries(libraries)) parts.push(libraryPart(name, search, major, true));

  const ready = parts.every(({ state, optional }) => optional || state === 'ok');
  const report = {
    supported: true,
    ready,
    runtime: version,
    driver: driver === null ? null : { version: driver.version, cuda: driver.cuda },
    gpus: driver?.gpus ?? [],
    providerFolder: provider?.folder ?? null,
    parts,
  };
  return { ...report, text: textOf(report) };
}

/** Systems for which a provider of the runtime's version is published. */
export function isSupported(platform: NodeJS.Platform, arch: string): boolean {
  return (
    (platform === 'linux' && (arch === 'x64' || arch === 'arm64')) || (platform === 'win32' && arch === 'x64')
  );
}

/**
 * Libraries that the provider opens by itself where they are there, of the same CUDA major as those that it needs. cuDNN is
 * none of them: no graph of ours asks for it (graph/cudaKernels.ts).
 */
export function optionalLibraries(needed: readonly string[]): string[] {
  const major = cudaMajor(needed);
  if (major === undefined) return [];
  return needed.some((name) => name.endsWith('.dll'))
    ? [`nvrtc64_${major}0_0.dll`]
    : [`libnvrtc.so.${major}`];
}

/** The CUDA major of the runtime library that the provider needs; undefined where it is not known yet. */
export function cudaMajor(needed: readonly string[]): number | undefined {
  for (const name of needed) {
    const found = /^libcudart\.so\.(\d+)|^cudart64_(\d{2})/i.exec(name);
    if (found !== null) return Number(found[1] ?? found[2]);
  }
  // A library that links the runtime in still names cuBLAS.
  for (const name of needed) {
    const found = /^libcublas\.so\.(\d+)|^cublas64_(\d+)/i.exec(name);
    if (found !== null) return Number(found[1] ?? found[2]);
  }
  return undefined;
}

function driverPart(driver: Driver | null, major: number | undefined, machine: Machine): CudaPart {
  const oldest = major === undefined ? undefined : cudaMajors[major]?.driver;
  const part = { name: 'driver', optional: false };
  if (driver === null) {
    return {
      ...part,
      state: 'missing',
      detail: 'no NVIDIA driver was found (no nvidia-smi, no kernel module, no driver library)',
      remedy: `Install NVIDIA's driver${oldest === undefined ? '' : ` ${oldest} or newer`}, or train with device cpu or webgpu.`,
    };
  }
  const found = `version ${driver.version ?? 'unknown'}${driver.cuda === null ? '' : `, runs CUDA up to ${driver.cuda}`}`;
  if (driver.library === null) {
    const name = machine.platform === 'win32' ? 'nvcuda.dll' : 'libcuda.so.1';
    return {
      ...part,
      state: 'wrong',
      detail: `${found}, but its library ${name} was not found`,
      remedy: machine.exists('/.dockerenv')
        ? 'Start the container with --gpus all, so that the driver’s library is put into it.'
        : 'Install the driver again with its libraries.',
    };
  }
  if (tooOld(driver, major)) {
    return {
      ...part,
      state: 'wrong',
      detail: `${found}; the provider needs CUDA ${major}, for which ${oldest ?? 'a newer driver'} is the oldest driver`,
      remedy: `Update NVIDIA's driver${oldest === undefined ? '' : ` to ${oldest} or newer`}.`,
    };
  }
  return { ...part, state: 'ok', detail: found, remedy: null };
}

function tooOld(driver: Driver, major: number | undefined): boolean {
  if (major === undefined) return false;
  if (driver.cuda !== null) return isOlder(driver.cuda, `${major}.0`);
  const oldest = cudaMajors[major]?.driver;
  return driver.version !== null && oldest !== undefined && isOlder(driver.version, oldest);
}

function devicePart(driver: Driver | null, major: number | undefined, machine: Machine): CudaPart {
  const part = { name: 'device', optional: false };
  const gpus = driver?.gpus ?? [];
  if (gpus.length === 0) {
    const listed = machine.list('/proc/driver/nvidia/gpus').length;
    if (driver !== null && listed > 0)
      return { ...part, state: 'ok', detail: `${listed} listed by the kernel module`, remedy: null };
    // Nothing but nvidia-smi tells of devices under Windows' subsystem, where the library alone may be there.
    return {
      ...part,
      state: 'missing',
      detail: 'no NVIDIA GPU was found',
      remedy: 'Train with device cpu or webgpu, or on a machine with an NVIDIA GPU.',
    };
  }
  const oldest = major === undefined ? 0 : (cudaMajors[major]?.capability ?? 0);
  const usable = gpus.filter(({ capability }) => capability === null || Number(capability) >= oldest);
  const names = gpus.map(
    ({ index, name, capability }) => `cuda:${index} ${name}${capability === null ? '' : ` (${capability})`}`,
  );
  if (usable.length > 0) return { ...part, state: 'ok', detail: names.join(', '), remedy: null };
  return {
    ...part,
    state: 'wrong',
    detail: `${names.join(', ')}; CUDA ${major} needs compute capability ${oldest.toFixed(1)}`,
    remedy: 'Train with device cpu or webgpu, or with a newer GPU.',
  };
}

async function providerPart(
  { machine, version, verify, storage }: CudaLookup,
  provider: ProviderFiles | undefined,
  needed: string[],
): Promise<CudaPart> {
  const part = { name: 'provider', optional: false };
  if (provider === undefined) {
    const [name] = providerNames(machine.platform).bridge;
    return {
      ...part,
      state: 'missing',
      detail: `${name} of ONNX Runtime ${version} is not installed; which CUDA libraries it needs is known once it is`,
      remedy: install,
    };
  }
  try {
    const header = readLibraryHeader(provider.provider);
    if (header.arch !== machine.arch)
      return wrong(`${provider.provider} is for ${header.arch}, this machine is ${machine.arch}`);
    needed.push(...header.needed);
    if (verify && provider.stored) {
      for (const { name, sha256 } of readInstallation(provider.folder)?.files ?? [])
        if ((await sha256OfFile(`${provider.folder}/${name}`)) !== sha256)
          return wrong(`${name} in ${provider.folder} is not what was installed`);
    }
  } catch (cause) {
    return wrong((cause as Error).message);
  }
  const where = provider.folder.startsWith(storage) ? 'installed' : 'beside the runtime';
  return {
    ...part,
    state: 'ok',
    detail: `ONNX Runtime ${version}, ${where}: ${provider.folder}`,
    remedy: null,
  };

  function wrong(detail: string): CudaPart {
    return { ...part, state: 'wrong', detail, remedy: `${install.slice(0, -1)}, which replaces it.` };
  }
}

function libraryPart(
  name: string,
  search: LibrarySearch,
  major: number | undefined,
  optional: boolean,
): CudaPart {
  const path = search.find(name);
  if (path !== undefined) return { name, state: 'ok', optional, detail: path, remedy: null };
  const product = name.includes('cudnn')
    ? 'cuDNN'
    : `the CUDA${major === undefined ? '' : ` ${major}`} toolkit`;
  return {
    name,
    state: 'missing',
    optional,
    detail: optional
      ? 'not found; the provider works without it'
      : 'not found in toolkits, the loader’s path or Python environments',
    remedy: `Install ${product}, or ${pipCommand(name, major)} in an active Python environment${optional ? '' : ', or add --with-libraries to doctor --install-cuda'}.`,
  };
}

function unsupported(machine: Machine, version: string): CudaReport {
  const parts: CudaPart[] = [
    {
      name: 'provider',
      state: 'missing',
      optional: false,
      detail: `there is no CUDA for ${machine.platform} ${machine.arch}`,
      remedy:
        machine.platform === 'darwin'
          ? 'Train with device cpu, or with device webgpu, which uses Metal.'
          : 'Train with device cpu, or with device webgpu.',
    },
  ];
  const report = {
    supported: false,
    ready: false,
    runtime: version,
    driver: null,
    gpus: [],
    providerFolder: null,
    parts,
  };
  return { ...report, text: textOf(report) };
}

function textOf(report: Omit<CudaReport, 'text'>): string {
  const lines = [
    `CUDA for ONNX Runtime ${report.runtime}: ${report.ready ? 'everything is there' : 'not ready'}`,
  ];
  for (const { name, state, optional, detail, remedy } of report.parts) {
    lines.push(`  ${name}: ${state}${optional && state !== 'ok' ? ' (optional)' : ''}: ${detail}`);
    if (remedy !== null) lines.push(`    → ${remedy}`);
  }
  return lines.join('\n');
}
