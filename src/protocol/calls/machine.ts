// Calls about the machine.
import type { CudaReport } from '../cuda';
import type { Problem } from '../errors';

export type DoctorParams = {
  /** Only this device, or null for all. */
  device: string | null;
};

export interface DoctorDevice {
  device: string;
  provider: string;
  available: boolean;
  /** Null where unknown. */
  memoryBytes: number | null;
  /** One real training step; null where the device is not available. */
  trainingStep: { ok: boolean; milliseconds: number; loss: number } | null;
  problem: Problem | null;
}

export interface DoctorResult {
  version: string;
  node: string;
  platform: string;
  /** ONNX Runtime's version; null where its library does not load. */
  runtime: string | null;
  cores: number;
  memoryBytes: number;
  devices: readonly DoctorDevice[];
  /** What CUDA needs here, and what of it is there; null where the runtime's package is missing. */
  cuda: CudaReport | null;
}
