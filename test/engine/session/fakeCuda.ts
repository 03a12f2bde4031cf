// Builds stand-ins for CUDA's libraries and puts them beside ONNX Runtime's real CUDA provider, so that the provider runs on a
// machine without a GPU: everything but the kernels' numbers is real.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runtimePackage } from '../../../src/engine/cuda/runtimePackage';
import { installationFolder, manifestName, providerNames } from '../../../src/engine/cuda/storage';

/** Folder of the provider's two libraries, of the runtime's version; tests that need them skip without it. */
export const providerFolder = process.env.FAKE_CUDA_PROVIDER;

/** Lays everything out in `folder` and sets the environment for the next runtime. Returns the path of the trace of CUDA's calls. */
export function fakeCuda(folder: string): string {
  const names = providerNames('linux').bridge;
  const from = (name: string): string => join(resolve(providerFolder!), name);
  const own = installationFolder(folder, runtimePackage().version);
  mkdirSync(own, { recursive: true });
  for (const name of names) symlinkSync(from(name), join(own, name));
  const files = names.map((name) => ({ name, bytes: statSync(from(name)).size, sha256: '' }));
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
  process.env.FAKE_CUDA_TRACE = join(folder, 'trace');
  return process.env.FAKE_CUDA_TRACE;
}

/** A library for each that the provider needs, with every function that it takes from there. */
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
  for (const [library, functions] of taken) {
    const source = join(folder, `${library}.c`);
    const written = join('test', 'engine', 'session', 'fakeCuda', 'cudart.c');
    const cudart = library.startsWith('libcudart');
    if (cudart) copyFileSync(written, source);
    else writeFileSync(source, '');
    const known = cudart ? run('grep', ['-oE', '[A-Za-z0-9_]+\\(', source]).split('(\n') : [];
    // cublasLt finds no algorithm by itself.
    const bodies = functions
      .filter((name) => !known.includes(name))
      .map((name) => `long ${name}(void) { return 0; }`);
    writeFileSync(source, `\n${bodies.join('\n')}\n`, { flag: 'a' });
    const map = join(folder, `${library}.map`);
    writeFileSync(map, `${library} { global: cu*; __cu*; local: *; };\n`);
    const versioned = library === 'libcuda.so.1' ? [] : [`-Wl,--version-script=${map}`];
    const names = ['-o', join(folder, library), `-Wl,-soname,${library}`];
    run('cc', ['-shared', '-fPIC', '-O1', '-w', source, ...names, ...versioned]);
  }
}

function run(command: string, args: string[]): string {
  const done = spawnSync(command, args, { encoding: 'utf8', maxBuffer: 1 << 28 });
  if (done.status !== 0) throw new Error(`${command}: ${done.stderr || done.error?.message}`);
  return done.stdout;
}

/** Whether this machine can build and run it. */
export const possible =
  process.platform === 'linux' && providerFolder !== undefined && existsSync(providerFolder);
