// Finds and loads the ONNX Runtime library that onnxruntime-node carries for this platform and the CUDA
// provider that goes with it. Out come handles or an error that says what is missing; it calls none of the library's functions.
import {
  copyFileSync,
  existsSync,
  linkSync,
  readdirSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { LibraryHandle } from 'koffi';
import koffi from 'koffi';
import { runtimePackage } from '../cuda/runtimePackage';
import { findProvider, type ProviderFiles } from '../cuda/storage';
import { SessionError } from '../errors';

const fileNames: Partial<Record<NodeJS.Platform, string>> = {
  linux: 'libonnxruntime.so.1',
  darwin: 'libonnxruntime.1.dylib',
  win32: 'onnxruntime.dll',
};

/** Path of the library for a platform and processor. @throws SessionError `runtime-missing`, `platform-unsupported`. */
export function libraryPath(
  platform: NodeJS.Platform = process.platform,
  arch: string = process.arch,
): string {
  const fileName = fileNames[platform];
  const folder = join(runtimePackage().folder, 'bin', 'napi-v6', platform, arch);
  if (!fileName || !existsSync(folder)) {
    throw new SessionError({
      code: 'platform-unsupported',
      message: `ONNX Runtime is not shipped for ${platform} ${arch} (no folder ${folder}).`,
      remedy: 'Use Linux or Windows on x64 or arm64, or macOS on arm64.',
    });
  }
  const path = join(folder, fileName);
  if (!existsSync(path)) {
    throw new SessionError({
      code: 'runtime-missing',
      message: `The ONNX Runtime library ${path} is not there.`,
      remedy: 'Run npm install again.',
    });
  }
  return path;
}

/** @throws SessionError `runtime-unloadable` with the loader's own words. */
export function loadLibrary(path: string): LibraryHandle {
  try {
    return koffi.load(path);
  } catch (cause) {
    const musl = process.platform === 'linux' && glibcVersion() === undefined;
    throw new SessionError({
      code: 'runtime-unloadable',
      message: `The ONNX Runtime library ${path} cannot be loaded: ${(cause as Error).message}`,
      remedy: musl
        ? 'Use a Linux distribution with glibc 2.28 or newer; musl (Alpine) is not supported.'
        : process.platform === 'linux'
          ? `Use a system with glibc 2.28 or newer (found ${glibcVersion()}) and libstdc++.`
          : 'Update the operating system, and install the Visual C++ redistributable on Windows.',
      cause,
    });
  }
}

/** The library to load and the CUDA provider that goes with it. */
export interface RuntimeFiles {
  library: string;
  /** Undefined where none is installed, or where it cannot be used. */
  cuda: ProviderFiles | undefined;
  /** Why an installed one cannot be used. */
  problem?: SessionError;
}

/**
 * The runtime loads providers from the folder that its own library was loaded from. So where CUDA's lie in the product's
 * own folder, the library is loaded through a link there.
 */
export function runtimeFiles(): RuntimeFiles {
  const library = libraryPath();
  const cuda = findProvider(library);
  if (cuda === undefined || !cuda.stored || cuda.kind === 'plugin') return { library, cuda };
  try {
    return { library: linkedLibrary(library, cuda.folder), cuda };
  } catch (problem) {
    // Other devices work without it.
    return { library, cuda: undefined, problem: problem as SessionError };
  }
}

/** Puts the runtime's library into `folder`: a link on Linux, hard links or copies of all its parts on Windows. */
export function linkedLibrary(library: string, folder: string): string {
  const link = join(folder, basename(library));
  try {
    if (process.platform === 'win32') {
      for (const name of readdirSync(dirname(library)).filter((entry) => entry.endsWith('.dll')))
        placeFile(join(dirname(library), name), join(folder, name));
    } else if (!existsSync(link) || realpathSync(link) !== realpathSync(library)) {
      const aside = `${link}.new-${process.pid}`;
      rmSync(aside, { force: true });
      symlinkSync(realpathSync(library), aside);
      renameSync(aside, link);
    }
    return link;
  } catch (cause) {
    throw new SessionError({
      code: 'runtime-unlinkable',
      message: `The ONNX Runtime library cannot be linked into ${folder}: ${(cause as Error).message}`,
      remedy: `Make ${folder} writable, or remove it and install CUDA again with doctor --install-cuda.`,
      cause,
    });
  }
}

function placeFile(from: string, to: string): void {
  const [wanted, found] = [statSync(from), statSync(to, { throwIfNoEntry: false })];
  if (found !== undefined && found.size === wanted.size && found.mtimeMs >= wanted.mtimeMs) return;
  rmSync(to, { force: true });
  try {
    linkSync(from, to);
  } catch {
    // On another disk.
    copyFileSync(from, to);
  }
}

function glibcVersion(): string | undefined {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime;
}
