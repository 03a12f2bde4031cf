// The product's own folder for CUDA's provider files: where it is, what an installation there consists of, and whether it
// is whole and of the runtime's version. It neither fetches nor loads.
import { existsSync, readFileSync, statSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, isAbsolute, join } from 'node:path';
import { runtimePackage } from './runtimePackage';

/** Names another folder for the files. */
export const storageOverride = 'LORA_WORKBENCH_CUDA_FOLDER';
export const manifestName = 'installation.json';

/** `bridge`: a provider of the same build, which lies beside the runtime. `plugin`: one that is registered by its path. */
export type ProviderKind = 'bridge' | 'plugin';

export interface InstalledFile {
  name: string;
  bytes: number;
  sha256: string;
}

/** What stands in `installation.json`. */
export interface Installation {
  /** Of the runtime that the files are for. */
  runtime: string;
  platform: string;
  arch: string;
  kind: ProviderKind;
  source: string;
  files: readonly InstalledFile[];
}

/** A provider on disk. */
export interface ProviderFiles {
  kind: ProviderKind;
  folder: string;
  /** Path of the provider's library. */
  provider: string;
  /** Whether the files lie in the product's own folder, and not beside the runtime's library. */
  stored: boolean;
}

/** Names of the files; what is not `needed` is not kept. */
export function providerNames(platform: NodeJS.Platform): {
  bridge: readonly string[];
  plugin: readonly string[];
} {
  const [before, after] = platform === 'win32' ? ['', '.dll'] : ['lib', '.so'];
  return {
    bridge: [`${before}onnxruntime_providers_cuda${after}`, `${before}onnxruntime_providers_shared${after}`],
    plugin: [`${before}onnxruntime_providers_cuda_plugin${after}`],
  };
}

/** Absolute path of the folder for everything about CUDA. */
export function storageFolder(
  env: Readonly<Record<string, string | undefined>> = process.env,
  platform: NodeJS.Platform = process.platform,
  home: string = homedir(),
): string {
  const asked = env[storageOverride];
  if (asked !== undefined && isAbsolute(asked)) return asked;
  const data =
    platform === 'win32'
      ? (env.LOCALAPPDATA ?? join(home, 'AppData', 'Local'))
      : (absolute(env.XDG_DATA_HOME) ?? join(home, '.local', 'share'));
  return join(data, 'lora-workbench', 'cuda');
}

function absolute(path: string | undefined): string | undefined {
  return path !== undefined && isAbsolute(path) ? path : undefined;
}

/** The folder of the files for exactly this runtime. */
export function installationFolder(storage: string, version: string): string {
  return join(storage, `${version}-${process.platform}-${process.arch}`);
}

/** The folder of NVIDIA's libraries that were fetched. */
export function librariesFolder(storage: string): string {
  return join(storage, `libraries-${process.platform}-${process.arch}`);
}

/** The product's own folders in which libraries may lie. */
export function ownFolders(provider: ProviderFiles | undefined, storage: string = storageFolder()): string[] {
  return [...(provider === undefined ? [] : [provider.folder]), librariesFolder(storage)];
}

/** The installation in a folder; undefined where there is none, or where a file is missing or has another size. */
export function readInstallation(folder: string): Installation | undefined {
  try {
    const value = JSON.parse(readFileSync(join(folder, manifestName), 'utf8')) as Installation;
    if (value.kind !== 'bridge' && value.kind !== 'plugin') return undefined;
    const names = providerNames(process.platform)[value.kind];
    const whole = names.every((name) => {
      const file = value.files.find((entry) => entry.name === name);
      return file !== undefined && statSync(join(folder, name)).size === file.bytes;
    });
    return whole && value.platform === process.platform && value.arch === process.arch ? value : undefined;
  } catch {
    return undefined;
  }
}

/** The provider for the runtime's library at `library`: beside it, or in the product's own folder. */
export function findProvider(library: string, storage: string = storageFolder()): ProviderFiles | undefined {
  const beside = dirname(library);
  const [main] = providerNames(process.platform).bridge;
  if (providerNames(process.platform).bridge.every((name) => existsSync(join(beside, name))))
    return { kind: 'bridge', folder: beside, provider: join(beside, main!), stored: false };
  const { version } = runtimePackage();
  const folder = installationFolder(storage, version);
  const installation = readInstallation(folder);
  if (installation === undefined || installation.runtime !== version) return undefined;
  const [name] = providerNames(process.platform)[installation.kind];
  return { kind: installation.kind, folder, provider: join(folder, name!), stored: true };
}

/** Whether a provider of the installed runtime is there; nothing is loaded. */
export function providerInstalled(storage: string = storageFolder()): boolean {
  try {
    const libraries = join(runtimePackage().folder, 'bin', 'napi-v6', process.platform, process.arch);
    return findProvider(join(libraries, 'library'), storage) !== undefined;
  } catch {
    return false;
  }
}
