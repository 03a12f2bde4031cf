// How much memory a run could take on a device now.
import { execFile } from 'node:child_process';
import { freemem } from 'node:os';
import { promisify } from 'node:util';
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

async function cudaMemory(index: number): Promise<number> {
  const query = ['--query-gpu=memory.free', '--format=csv,noheader,nounits', '-i', String(index)];
  try {
    const { stdout } = await promisify(execFile)('nvidia-smi', query, { timeout: 10_000 });
    const mebibytes = Number(stdout.trim());
    if (Number.isFinite(mebibytes) && stdout.trim() !== '') return mebibytes * 2 ** 20;
    throw new Error(`nvidia-smi said ${JSON.stringify(stdout.slice(0, 80))}`);
  } catch (cause) {
    throw new SessionError({
      code: 'device-memory-unknown',
      message: `The free memory of cuda:${index} cannot be read with nvidia-smi.`,
      remedy: 'Check the NVIDIA driver with doctor, or estimate for device: cpu.',
      cause,
    });
  }
}
