// Builds stand-ins for CUDA's libraries and puts them beside ONNX Runtime's real CUDA provider, so that the provider runs on a
// machine without a GPU: everything but the kernels' numbers is real.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join, resolve } from 'node:path';
import { runtimePackage } from '../../src/engine/cuda/runtimePackage';
import { installationFolder, manifestName, providerNames } from '../../src/engine/cuda/storage';

const native = join('test', 'emulatedCuda', 'native');

/** Folder of the provider's two libraries, of the runtime's version; tests that need them skip without it. */
export const providerFolder = process.env.EMULATED_CUDA_PROVIDER;

/**
 * Lays everything out in `folder` and sets the environment for the next runtime. Returns the path of the trace of CUDA's calls.
 * @param provider folder of the provider's two libraries.
 */
export function standIns(folder: string, provider: string = providerFolder!): string {
  const names = providerNames('linux').bridge;
  const from = (name: string): string => join(resolve(provider), name);
  const own = installationFolder(folder, runtimePackage().version);
  mkdirSync(own, { recursive: true });
  for (const name of names) symlinkSync(from(name), join(own, name));
  const sha256 = (name: string): string =>
    createHash('sha256')
      .update(readFileSync(from(name)))
      .digest('hex');
  const files = names.map((name) => ({ name, bytes: statSync(from(name)).size, sha256: sha256(name) }));
  const { version } = runtimePackage();
  const manifest = {
    runtime: version,
    platform: 'linux',
    arch: process.arch,
    kind: 'bridge',
    source: '',
    files,
  };
  writeFileSync(join(own, manifestName), JSON.stringify(manifest));
  build(own, from(names[0]!));
  process.env.LORA_WORKBENCH_CUDA_FOLDER = folder;
  process.env.LORA_WORKBENCH_CUDA_LIBRARIES = own;
  process.env.EMULATED_CUDA_TRACE = join(folder, 'trace');
  return process.env.EMULATED_CUDA_TRACE;
}

/** A library for each that the provider needs, with every function that it takes from there: native/NAME.c, and 0 for the rest. */
function build(folder: string, provider: string): void {
  const lines = run('nm', ['-D', '--undefined-only', provider]).split('\n');
  const taken = new Map<string, string[]>([
    ['libcuda.so.1', ['cuTensorMapEncodeTiled', 'cuInit']],
    ['libcurand.so.10', ['curandCreateGenerator']],
  ]);
  for (const line of lines) {
    const [, name, library] = /\bU (\w+)@(lib(?:cu|nv)[\w.]+)/.exec(line) ?? [];
    if (name && library) taken.set(library, [...(taken.get(library) ?? []), name]);
  }
  // The others put their work into cudart's streams.
  const libraries = [...taken.keys()].sort((a, b) => Number(isCudart(b)) - Number(isCudart(a)));
  const cudart = libraries[0]!;
  for (const library of libraries) buildLibrary(library, folder, taken.get(library)!, cudart);
}

/** Builds `library` (libNAME.so.N) from native/NAME.*c, with each of `functions` that is not there returning 0; beside `cudart`. */
export function buildLibrary(
  library: string,
  folder: string,
  functions: readonly string[],
  cudart: string,
): void {
  const name = library.slice('lib'.length, library.indexOf('.so'));
  const sources = readdirSync(native)
    .filter((file) => file.startsWith(`${name}.`) && file.endsWith('.c'))
    .map((file) => join(native, file));
  const known = sources.flatMap((source) => readFileSync(source, 'utf8').match(/\b\w+(?=\()/g) ?? []);
  const missing = functions.filter((name) => !known.includes(name));
  const rest = join(folder, `${library}.c`);
  writeFileSync(rest, missing.map((name) => `long ${name}(void) { return 0; }\n`).join(''));
  const map = join(folder, `${library}.map`);
  writeFileSync(map, `${library} { global: cu*; __cu*; emulate*; local: *; };\n`);
  const versioned = library === 'libcuda.so.1' ? [] : [`-Wl,--version-script=${map}`];
  const shared = isCudart(library) ? [] : [`-L${folder}`, `-l:${cudart}`];
  const names = ['-o', join(folder, library), `-Wl,-soname,${library}`];
  const flags = ['-shared', '-fPIC', '-O3', '-march=native', '-w', `-I${native}`];
  run('cc', [...flags, ...sources, rest, ...names, ...versioned, ...shared]);
}

const isCudart = (library: string): boolean => library.startsWith('libcudart');

function run(command: string, args: string[]): string {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (done.status !== 0) throw new Error(`${command}: ${done.stderr || done.error?.message}`);
  return done.stdout;
}

/** Whether this machine can build and run it. */
export const possible =
  process.platform === 'linux' && providerFolder !== undefined && existsSync(providerFolder);
