// Loads what the CUDA provider needs from wherever it was found, and asks CUDA for its devices, before the provider is
// tried: in there, a missing library or device ends the process (ONNX Runtime 1.30 lets the exception leave its C API).
import { win32 } from 'node:path';
import type { LibraryHandle } from 'koffi';
import koffi from 'koffi';
import { isCudaLibrary, LibrarySearch } from '../cuda/libraries';
import { readLibraryHeader } from '../cuda/libraryHeader';
import { thisMachine } from '../cuda/machine';
import { cudaMajor, optionalLibraries } from '../cuda/report';
import { ownFolders, type ProviderFiles } from '../cuda/storage';

const windows = process.platform === 'win32';
/** Held, because koffi unloads a library whose handle is collected. */
const held = new Map<string, LibraryHandle>();

/**
 * Why the provider would not open device `index`; null where it would. Libraries are loaded by their paths, so that the
 * loader has them when it meets their names, and no search path is needed.
 */
export function obstacle(provider: ProviderFiles, index: number): string | null {
  // CUDA counts the fastest device first unless told otherwise; nvidia-smi, and with it every list of ours, counts by bus.
  process.env.CUDA_DEVICE_ORDER ??= 'PCI_BUS_ID';
  const { needed } = readLibraryHeader(provider.provider);
  const search = new LibrarySearch(thisMachine, ownFolders(provider));
  const cuda = needed.filter(isCudaLibrary);
  const failures = new Map<string, string>();
  for (const path of search.loadOrder([...cuda, ...optionalLibraries(cuda)])) {
    const failure = hold(path);
    if (failure !== null) failures.set(path, failure);
  }
  // The rest (the driver's library, the C++ library) the loader finds by itself, or else where the search finds it.
  const missing = needed.flatMap((name) => {
    const found = search.find(name);
    if (isCudaLibrary(name))
      return found === undefined ? [`${name} was not found`] : (failures.get(found) ?? []);
    // By its bare name a library could come from the current folder on Windows; the system's own need no check there.
    if (windows) return found === undefined ? [] : (hold(found) ?? []);
    const failure = hold(name);
    return failure === null || (found !== undefined && hold(found) === null) ? [] : [failure];
  });
  if (missing.length > 0) return missing.join('; ');
  return deviceObstacle(search, needed, index);
}

/** Loads and keeps a library; the loader's words where that fails. */
function hold(path: string): string | null {
  if (held.has(path)) return null;
  try {
    held.set(path, koffi.load(path, { global: true, lazy: true }));
    return null;
  } catch (cause) {
    return `${path}: ${(cause as Error).message}`;
  }
}

/**
 * CUDA's runtime library as the provider uses it, which `obstacle` has loaded; undefined where the provider has it inside.
 */
export function cudaRuntime(provider: ProviderFiles): LibraryHandle | undefined {
  const { needed } = readLibraryHeader(provider.provider);
  return heldRuntime(new LibrarySearch(thisMachine, ownFolders(provider)), needed);
}

function heldRuntime(search: LibrarySearch, needed: readonly string[]): LibraryHandle | undefined {
  const name = needed.find((library) => /^(lib)?cudart/i.test(library));
  return name === undefined ? undefined : held.get(search.find(name) ?? '');
}

function deviceObstacle(search: LibrarySearch, needed: readonly string[], index: number): string | null {
  const count: [number] = [0];
  const runtime = heldRuntime(search, needed);
  if (runtime !== undefined) {
    const code = Number(runtime.func('cudaGetDeviceCount', 'int', ['_Out_ int *'])(count));
    if (code !== 0) return String(runtime.func('cudaGetErrorString', 'str', ['int'])(code));
  } else if (needed.some(isCudaLibrary)) {
    // The provider has CUDA's runtime inside, so the driver is asked.
    const path = driverLibrary();
    const failure = hold(path);
    if (failure !== null) return failure;
    const driver = held.get(path)!;
    const code = Number(driver.func('cuInit', 'int', ['uint'])(0));
    if (code !== 0) return `NVIDIA's driver does not start (CUDA error ${code})`;
    const version: [number] = [0];
    driver.func('cuDriverGetVersion', 'int', ['_Out_ int *'])(version);
    const [found, major] = [Math.floor(version[0] / 1000), cudaMajor(needed) ?? 0];
    if (found < major) return `NVIDIA's driver runs CUDA ${found}, and the provider needs CUDA ${major}`;
    driver.func('cuDeviceGetCount', 'int', ['_Out_ int *'])(count);
  } else {
    return null;
  }
  return index < count[0] ? null : `there are ${count[0]} CUDA devices, and ${index} is not among them`;
}

function driverLibrary(): string {
  return windows
    ? win32.join(process.env.SystemRoot ?? 'C:\\Windows', 'System32', 'nvcuda.dll')
    : 'libcuda.so.1';
}
