// Where CUDA's libraries usually lie (configured folders, the loader's path, toolkits, Python environments, the loader's
// cache) and which file stands for a name there. It looks at names alone and loads nothing.
import { posix, win32 } from 'node:path';
import { readLibraryHeader } from './libraryHeader';
import type { Machine } from './machine';

/** Folders that the user names, separated as in PATH. */
export const configuredFolders = 'LORA_WORKBENCH_CUDA_LIBRARIES';

const anaconda = ['miniconda3', 'anaconda3', 'miniforge3', 'mambaforge'];
/** Folders in which any number of things may lie are read up to here. */
const entriesRead = 4096;

/** A search whose folders are read once. `own` are the product's own folders, searched first. */
export class LibrarySearch {
  private folders: readonly string[] | undefined;
  private cache: ReadonlyMap<string, string> | undefined;
  private readonly names = new Map<string, ReadonlySet<string>>();

  constructor(
    private readonly machine: Machine,
    private readonly own: readonly string[] = [],
  ) {}

  /** Whole path of the first file with that name. Names compare as the system compares them. */
  find(name: string): string | undefined {
    const path = this.machine.platform === 'win32' ? win32 : posix;
    const wanted = this.machine.platform === 'win32' ? name.toLowerCase() : name;
    this.folders ??= [...new Set([...this.own, ...libraryFolders(this.machine)])];
    for (const folder of this.folders) if (this.namesIn(folder).has(wanted)) return path.join(folder, name);
    this.cache ??= loaderCache(this.machine);
    return this.cache.get(name);
  }

  /** The given libraries and what they need of CUDA, each after what it needs itself; those not found are left out. */
  loadOrder(names: readonly string[]): string[] {
    const order: string[] = [];
    const seen = new Set<string>();
    const visit = (name: string): void => {
      if (seen.has(name)) return;
      seen.add(name);
      const path = this.find(name);
      if (path === undefined) return;
      for (const needed of neededOf(path)) if (isCudaLibrary(needed)) visit(needed);
      order.push(path);
    };
    names.forEach(visit);
    return order;
  }

  private namesIn(folder: string): ReadonlySet<string> {
    let names = this.names.get(folder);
    if (names === undefined) {
      const found = this.machine.list(folder);
      names = new Set(this.machine.platform === 'win32' ? found.map((name) => name.toLowerCase()) : found);
      this.names.set(folder, names);
    }
    return names;
  }
}

/** Whether a library is CUDA's; the driver's own (libcuda) comes with the driver and does not count. */
export function isCudaLibrary(name: string): boolean {
  return (
    /^lib(cudart|cublas|cublasLt|cufft|curand|cudnn|cusolver|cusparse|nvrtc|nvJitLink)[\w.-]*\.so/.test(
      name,
    ) ||
    /^(cudart|cublas|cublasLt|cufft|curand|cudnn|cusolver|cusparse|nvrtc|nvJitLink)[\w-]*\.dll$/i.test(name)
  );
}

function neededOf(path: string): readonly string[] {
  try {
    return readLibraryHeader(path).needed;
  } catch {
    // A damaged file says so itself when it is loaded.
    return [];
  }
}

/** The folders, in the order in which they are searched. */
export function libraryFolders(machine: Machine): string[] {
  return machine.platform === 'win32' ? windowsFolders(machine) : unixFolders(machine);
}

function unixFolders(machine: Machine): string[] {
  const { env, home, list } = machine;
  const { join, dirname, basename } = posix;
  const split = (text: string | undefined): string[] =>
    (text ?? '').split(':').filter((folder) => posix.isAbsolute(folder));
  const target = machine.arch === 'arm64' ? 'sbsa-linux' : 'x86_64-linux';
  const toolkit = (root: string): string[] => [
    join(root, 'lib64'),
    join(root, 'lib'),
    join(root, 'targets', target, 'lib'),
  ];
  const prefixes = [
    ...[env.VIRTUAL_ENV, env.CONDA_PREFIX].filter((prefix) => prefix !== undefined && prefix !== ''),
    ...split(env.PATH)
      .filter((folder) => basename(folder) === 'bin')
      .map(dirname),
    ...versions(list, join(home, '.pyenv', 'versions')),
    ...[...anaconda.map((name) => join(home, name)), '/opt/conda'].flatMap((root) => [
      root,
      ...versions(list, join(root, 'envs')),
    ]),
    join(home, '.local'),
    '/usr/local',
    '/usr',
  ] as string[];
  const packages = prefixes.flatMap((prefix) =>
    list(join(prefix, 'lib'))
      .filter((name) => /^python3[\d.]*$/.test(name))
      .flatMap((name) => ['site-packages', 'dist-packages'].map((kind) => join(prefix, 'lib', name, kind))),
  );
  return [
    ...split(env[configuredFolders]),
    ...split(env.LD_LIBRARY_PATH),
    ...[env.CUDA_HOME, env.CUDA_PATH]
      .filter((root) => root !== undefined && root !== '')
      .flatMap((root) => toolkit(root!)),
    ...packages.flatMap((folder) => [
      ...versions(list, join(folder, 'nvidia')).map((part) => join(part, 'lib')),
      join(folder, 'torch', 'lib'),
    ]),
    ...(env.CONDA_PREFIX ? [join(env.CONDA_PREFIX, 'lib')] : []),
    ...list('/usr/local')
      .filter((name) => /^cuda(-[\d.]+)?$/.test(name))
      .sort()
      .flatMap((name) => toolkit(join('/usr/local', name))),
    ...toolkit('/opt/cuda'),
    machine.arch === 'arm64' ? '/usr/lib/aarch64-linux-gnu' : '/usr/lib/x86_64-linux-gnu',
    '/usr/lib64',
    '/usr/lib',
  ];
}

function windowsFolders(machine: Machine): string[] {
  const { env, list } = machine;
  const { join } = win32;
  const split = (text: string | undefined): string[] =>
    (text ?? '').split(';').filter((folder) => win32.isAbsolute(folder));
  const toolkits = Object.entries(env)
    .filter(([name, value]) => /^CUDA_PATH(_V[\d_]+)?$/i.test(name) && value)
    .map(([, value]) => value!);
  const packages = [env.VIRTUAL_ENV, env.CONDA_PREFIX]
    .filter((prefix) => prefix !== undefined && prefix !== '')
    .map((prefix) => join(prefix!, 'Lib', 'site-packages'));
  return [
    ...split(env[configuredFolders]),
    ...toolkits.flatMap((root) => [join(root, 'bin'), join(root, 'bin', 'x64')]),
    ...packages.flatMap((folder) => [
      ...list(join(folder, 'nvidia')).flatMap((part) => [
        join(folder, 'nvidia', part, 'bin'),
        join(folder, 'nvidia', part, 'bin', 'x86_64'),
      ]),
      join(folder, 'torch', 'lib'),
    ]),
    ...(env.CONDA_PREFIX ? [join(env.CONDA_PREFIX, 'Library', 'bin')] : []),
    ...split(env.PATH ?? env.Path),
  ];
}

function versions(list: Machine['list'], folder: string): string[] {
  return list(folder)
    .slice(0, entriesRead)
    .map((name) => posix.join(folder, name));
}

/** Names in the loader's cache: lines such as `libcudart.so.13 (libc6,x86-64) => /usr/lib/…/libcudart.so.13`. */
function loaderCache(machine: Machine): ReadonlyMap<string, string> {
  if (machine.platform !== 'linux') return new Map();
  const text =
    machine.run('/sbin/ldconfig', ['-p']) ??
    machine.run('/usr/sbin/ldconfig', ['-p']) ??
    machine.run('ldconfig', ['-p']);
  const found = new Map<string, string>();
  for (const line of (text ?? '').split('\n')) {
    const [, name, path] = /^\s*(\S+) \(.*\) => (\/.*)$/.exec(line) ?? [];
    if (name !== undefined && path !== undefined && !found.has(name)) found.set(name, path);
  }
  return found;
}
