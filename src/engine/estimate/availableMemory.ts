// How much memory a run could take on a device now.
import { freemem } from 'node:os';
import { cudaDevice, readDeviceUse } from '../cuda/deviceUse';
import { SessionError } from '../errors';
import type { DeviceChoice } from '../session';

/**
 * Bytes. On the CPU what the system can give without swapping, within the container's limit; on CUDA what is free on that
 * device; on WebGPU, which tells nothing, the system's memory.
 * @throws SessionError `device-memory-unknown`.
 */
export async function availableMemory(device: DeviceChoice): Promise<number> {
  if (device.kind === 'cuda') return cudaMemory(device.index ?? 0);
  // Node 20.13 and later know the container's limit.
  const within = typeof process.availableMemory === 'function' ? process.availableMemory() : 0;
  return within > 0 ? Math.min(within, freemem()) : freemem();
}

async function cudaMemory(number: number): Promise<number> {
  const device = cudaDevice(await readDeviceUse(), number);
  if (device !== undefined && device.memoryFreeBytes !== null) return device.memoryFreeBytes;
  throw new SessionError({
    code: 'device-memory-unknown',
    message: device?.split
      ? `cuda:${number} is a part of a split device (MIG), whose free memory nvidia-smi does not tell.`
      : `The free memory of cuda:${number} cannot be read with nvidia-smi.`,
    remedy: 'Check the NVIDIA driver with doctor, or estimate for device: cpu.',
  });
}
