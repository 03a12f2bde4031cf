// What `device: auto` means on this machine: a CUDA device that opens, the one with the most free memory, or else the CPU. A
// process finds out once, because what is installed later is found by the next process.
import { cudaDevice, type DeviceUse, readDeviceUse } from '../cuda/deviceUse';
import { UserError } from '../errors';
import { openRuntime, type Runtime, type RuntimeOptions } from '../session';
import { gpuSettings } from './deviceSettings';

export interface SettledDevice {
  /** As a recipe would name it; never `auto`. */
  device: string;
  /** Which device `auto` took and why, in a full sentence; null where the device was named. */
  note: string | null;
}

/** What finds devices out; tests give their own. */
export interface DeviceProbe {
  open(options: RuntimeOptions): Pick<Runtime, 'close'>;
  /** The NVIDIA devices in the driver's words; empty where there is no driver. */
  devices(): Promise<readonly DeviceUse[]>;
}

const thisMachine: DeviceProbe = {
  open: openRuntime,
  devices: () => readDeviceUse().catch(() => []),
};
let settled: Promise<SettledDevice> | undefined;
let before: readonly DeviceUse[] | undefined;

/** What the devices held before `auto` opened one of them in this process; undefined where it did not. */
export function useBeforeSettling(): readonly DeviceUse[] | undefined {
  return before;
}

/** Opens and closes the device that it takes. Call it before a runtime is open. */
export function settleDevice(text: string): Promise<SettledDevice> {
  if (text !== 'auto') return Promise.resolve({ device: text, note: null });
  settled ??= findDevice(thisMachine);
  return settled;
}

/** The same without a memory. */
export async function findDevice({ open, devices }: DeviceProbe): Promise<SettledDevice> {
  const found = await devices();
  before ??= found;
  const free = (index: number): number => cudaDevice(found, index)?.memoryFreeBytes ?? 0;
  const indices = Array.from({ length: Math.max(1, found.length) }, (_, index) => index);
  indices.sort((a, b) => free(b) - free(a));
  let reason = '';
  for (const index of indices) {
    try {
      await open({ device: { kind: 'cuda', index }, ...gpuSettings() }).close();
      const name = cudaDevice(found, index)?.name;
      const memory = free(index) > 0 ? `${(free(index) / 2 ** 30).toFixed(1)} GiB free` : undefined;
      const facts = [name, memory].filter(Boolean).join(', ');
      return {
        device: `cuda:${index}`,
        note: `device: auto takes cuda:${index}${facts ? ` (${facts})` : ''}.`,
      };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      reason ||= error.message;
    }
  }
  return { device: 'cpu', note: `device: auto takes the CPU. ${reason}` };
}
