// Finds and loads the ONNX Runtime library that onnxruntime-node carries for this platform. Out come handles or an
// error that says what is missing; it calls none of the library's functions.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { LibraryHandle } from 'koffi';
import koffi from 'koffi';
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
  const folder = join(packageFolder(), 'bin', 'napi-v6', platform, arch);
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

/** The file that adds CUDA to the library; it and its companions must lie beside it. */
export function cudaProviderPath(library: string): string {
  const fileName =
    process.platform === 'win32' ? 'onnxruntime_providers_cuda.dll' : 'libonnxruntime_providers_cuda.so';
  return join(dirname(library), fileName);
}

function packageFolder(): string {
  try {
    return dirname(require.resolve('onnxruntime-node/package.json'));
  } catch (cause) {
    throw new SessionError({
      code: 'runtime-missing',
      message: 'The package onnxruntime-node is not installed.',
      remedy: 'Run npm install again.',
      cause,
    });
  }
}

function glibcVersion(): string | undefined {
  const report = process.report?.getReport() as { header?: { glibcVersionRuntime?: string } } | undefined;
  return report?.header?.glibcVersionRuntime;
}
