// The call `installCuda`: fetches or unpacks the CUDA provider's files, and reports what CUDA still needs here. The runtime
// is not loaded: a process finds the files when it loads it for the first time.
import { resolve } from 'node:path';
import type { CudaReport, InstallCudaParams, InstallCudaResult } from '../../protocol/cuda';
import type { EngineHost } from '../../protocol/trainer';
import { installProvider } from '../cuda/install';
import { installLibraries } from '../cuda/installLibraries';
import { isCudaLibrary } from '../cuda/libraries';
import { cudaMajor } from '../cuda/report';
import { runtimePackage } from '../cuda/runtimePackage';
import { storageFolder } from '../cuda/storage';
import { thisMachineReport } from '../cuda/thisMachineReport';
import { invariant, RunError } from '../errors';

const pollMs = 100;

/** @throws SessionError as `installProvider`; RunError `cancelled`. */
export async function installCuda(
  { from, libraries }: InstallCudaParams,
  host: EngineHost,
): Promise<InstallCudaResult> {
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
    const common = {
      storage: storageFolder(),
      env: process.env,
      signal: abort.signal,
      onProgress: (message: string, fraction: number | null) =>
        host.emit({
          type: 'progress',
          phase: 'installing',
          message,
          fraction,
          time: new Date().toISOString(),
        }),
    };
    const { version } = runtimePackage();
    const outcome = await installProvider({ ...common, version, from: from === null ? null : resolve(from) });
    let report = await reportAnew();
    const missing = report.parts.filter(
      ({ name, state, optional }) => isCudaLibrary(name) && state === 'missing' && !optional,
    );
    const major = cudaMajor(report.parts.map(({ name }) => name));
    if (!libraries || missing.length === 0 || major === undefined)
      return { ...outcome, libraries: [], report };
    const fetched = await installLibraries(
      missing.map(({ name }) => name),
      { ...common, cudaMajor: major },
    );
    report = await reportAnew();
    return { ...outcome, libraries: fetched, report };
  } finally {
    clearInterval(timer);
  }
}

async function reportAnew(): Promise<CudaReport> {
  const report = await thisMachineReport({ verify: false });
  invariant(report !== null, 'the runtime’s package stays while it is installed for');
  return report;
}
