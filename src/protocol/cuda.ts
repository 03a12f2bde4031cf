// What is known of CUDA on a machine and of its installation, as it crosses process boundaries and as `--json` prints it.
import type { DoctorDevice } from './trainer';

export interface CudaGpu {
  index: number;
  name: string;
  /** Null where the driver does not tell. */
  memoryBytes: number | null;
  freeBytes: number | null;
  /** Compute capability, for example `9.0`. */
  capability: string | null;
}

/** One thing that training on CUDA needs. */
export interface CudaPart {
  /** `driver`, `device`, `provider`, or a library's file name. */
  name: string;
  state: 'ok' | 'missing' | 'wrong' | 'unknown';
  /** A part without which training works too. */
  optional: boolean;
  /** What was found and where, or what was expected. */
  detail: string;
  /** One imperative sentence; null where nothing is to be done. */
  remedy: string | null;
}

export interface CudaReport {
  /** False where no provider exists for this system at all. */
  supported: boolean;
  /** Everything that is needed is there. */
  ready: boolean;
  /** The runtime whose provider is needed, for example `1.30.0`. */
  runtime: string;
  driver: { version: string | null; cuda: string | null } | null;
  gpus: readonly CudaGpu[];
  /** Where the provider's files lie; null where there are none. */
  providerFolder: string | null;
  parts: readonly CudaPart[];
  /** The same for people: lines that can be copied. */
  text: string;
}

export interface InstallCudaParams {
  /** A folder, an archive or a wheel; null fetches the files. */
  from: string | null;
  /** Fetch the CUDA libraries that are missing, too, from NVIDIA's packages. */
  libraries: boolean;
}

export interface InstallCudaResult {
  folder: string;
  /** Where the files came from: an address or a path. */
  source: string;
  files: readonly { name: string; bytes: number; sha256: string }[];
  /** False where exactly these files were there already. */
  changed: boolean;
  /** CUDA libraries that were fetched. */
  libraries: readonly string[];
  report: CudaReport;
}

/** What `doctor --install-cuda --json` prints. */
export interface InstallCudaDocument extends InstallCudaResult {
  /** The training step on the device beside the CPU's; null where it was not tried. */
  device: DoctorDevice | null;
  /** Why it was not tried; null where it was. */
  notTried: string | null;
}
