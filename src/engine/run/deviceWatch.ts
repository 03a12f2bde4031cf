// Watches the device of a run while it goes on: its memory and how busy it is, at most every two seconds, told only where
// something has changed. It knows the device's number and who asks the driver, not the run.
import { cudaDevice, type DeviceUse, readDeviceUse } from '../cuda/deviceUse';

/** What is told of a device: the body of the event `device`, without the step. */
export interface DeviceSample {
  device: string;
  name: string;
  memoryUsedBytes: number | null;
  memoryTotalBytes: number | null;
  utilization: number | null;
}

export interface DeviceWatchOptions {
  /** CUDA's number of the device. */
  index: number;
  tell: (sample: DeviceSample) => void;
  /** Hears everything that the driver tells of the device, news or not. */
  seen?: (use: DeviceUse) => void;
  /** Stands in for nvidia-smi in tests. */
  read?: () => Promise<readonly DeviceUse[]>;
  intervalMs?: number;
}

/** nvidia-smi itself takes some tens of milliseconds of a core. */
const intervalMs = 2000;
/** A device whose use stays as it is, is told this often, so that a log shows that it did. */
const quietMs = 30_000;
/** Smaller changes are noise. */
const leastMemory = 0.005;
const leastUtilization = 0.1;
/** So many failures in a row mean that there is nobody to ask. */
const mostFailures = 3;

export class DeviceWatch {
  #timer: NodeJS.Timeout | undefined;
  #stopped = false;
  #failures = 0;
  #told: { sample: DeviceSample; at: number } | undefined;

  constructor(private readonly options: DeviceWatchOptions) {
    void this.#look();
  }

  /** No sample is told after it. */
  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  async #look(): Promise<void> {
    const { index, tell, read = readDeviceUse } = this.options;
    const use = cudaDevice(await read(), index);
    if (this.#stopped) return;
    if (use !== undefined) this.options.seen?.(use);
    const sample = use === undefined ? undefined : sampleOf(use, index);
    this.#failures = sample === undefined ? this.#failures + 1 : 0;
    const now = performance.now();
    if (sample !== undefined && isNews(this.#told?.sample, sample, now - (this.#told?.at ?? 0))) {
      this.#told = { sample, at: now };
      try {
        tell(sample);
      } catch {
        // A log that cannot be written fails the next step, whose place it is to say so.
        return;
      }
    }
    if (this.#failures >= mostFailures) return;
    this.#timer = setTimeout(() => void this.#look(), this.options.intervalMs ?? intervalMs);
    // It holds no process.
    this.#timer.unref();
  }
}

/** Undefined where the driver tells neither. */
function sampleOf(use: DeviceUse, index: number): DeviceSample | undefined {
  const { name, memoryUsedBytes, memoryTotalBytes, utilization } = use;
  if (memoryUsedBytes === null && utilization === null) return undefined;
  return { device: `cuda:${index}`, name, memoryUsedBytes, memoryTotalBytes, utilization };
}

/** Whether a sample tells what the one before it, `elapsedMs` ago, did not. */
export function isNews(before: DeviceSample | undefined, now: DeviceSample, elapsedMs: number): boolean {
  if (before === undefined || elapsedMs >= quietMs) return true;
  const moved = (a: number | null, b: number | null, least: number): boolean =>
    a === null || b === null ? a !== b : Math.abs(a - b) >= least;
  return (
    moved(before.utilization, now.utilization, leastUtilization) ||
    moved(before.memoryUsedBytes, now.memoryUsedBytes, leastMemory * (now.memoryTotalBytes ?? 0))
  );
}
