// The report on CUDA for the machine and the installation that this process runs on.
import { join } from 'node:path';
import type { CudaReport } from '../../protocol/cuda';
import { thisMachine } from './machine';
import { cudaReport } from './report';
import { runtimePackage } from './runtimePackage';
import { storageFolder } from './storage';

/** Null where the runtime's package is missing, which its own report tells. */
export async function thisMachineReport({ verify }: { verify: boolean }): Promise<CudaReport | null> {
  let runtime: ReturnType<typeof runtimePackage>;
  try {
    runtime = runtimePackage();
  } catch {
    return null;
  }
  // Its file name does not matter: a provider is looked for in its folder.
  const library = join(runtime.folder, 'bin', 'napi-v6', process.platform, process.arch, 'onnxruntime');
  const { version } = runtime;
  return cudaReport({ machine: thisMachine, library, version, storage: storageFolder(), verify });
}
