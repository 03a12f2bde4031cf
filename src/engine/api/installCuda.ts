// The call `installCuda`: fetches or unpacks the CUDA provider's files, and reports what CUDA still needs here. The runtime
// is not loaded: a process finds the files when it loads it for the first time.
import { resolve } from 'node:path';
import type { InstallCudaParams, InstallCudaResult } from '../../protocol/cuda';
import type { EngineHost } from '../../protocol/trainer';
import { installProvider } from '../cuda/install';
import { runtimePackage } from '../cuda/runtimePackage';
import { storageFolder } from '../cuda/storage';
import { thisMachineReport } from '../cuda/thisMachineReport';
import { RunError } from '../errors';

const pollMs = 100;

/** @throws SessionError as `installProvider`; RunError `cancelled`. */
export async function installCuda({ from }: InstallCudaParams, host: EngineHost): Promise<InstallCudaResult> {
  const cancelled = new RunError({
    code: 'cancelled',
    message: 'The installation of CUDA was cancelled.',
    remedy: 'Start it again: it goes on with what was fetched.',
  });
  const abort = new AbortController();
  const timer = setInterval(() => {
    if (host.cancelRequested || host.stopRequested) abort.abort(cancelled);
  }, pollMs);
  try {
    const outcome = await installProvider({
      version: runtimePackage().version,
      storage: storageFolder(),
      from: from === null ? null : resolve(from),
      env: process.env,
      signal: abort.signal,
      onProgress: (message, fraction) =>
        host.emit({
          type: 'progress',
          phase: 'installing',
          message,
          fraction,
          time: new Date().toISOString(),
        }),
    });
    const report = await thisMachineReport({ verify: false });
    if (report === null) throw new Error('the runtime’s package vanished during the installation');
    return { ...outcome, report };
  } finally {
    clearInterval(timer);
  }
}
