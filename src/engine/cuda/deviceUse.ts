// What NVIDIA's devices hold and do at the moment: nvidia-smi, asked without waiting for it, and its words read. In goes its
// output, out come bytes and shares; null stands for what it does not tell.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { nvidiaSmi } from './driver';
import { thisMachine } from './machine';

export interface DeviceUse {
  /** nvidia-smi's number: the order of the bus. */
  index: number;
  uuid: string;
  name: string;
  /** Bytes. Null where it is not told, and where the device is split (MIG): then it is that of all parts together. */
  memoryTotalBytes: number | null;
  memoryUsedBytes: number | null;
  /** What a program can still take: less than total − used, for the driver keeps some. */
  memoryFreeBytes: number | null;
  /** 0…1: share of the last moment in which a kernel ran. */
  utilization: number | null;
  /** Whether the device is split into parts. */
  split: boolean;
}

/** Standard output of nvidia-smi; undefined where it is not there, fails or takes longer than ten seconds. */
export type AskDriver = (args: readonly string[]) => Promise<string | undefined>;

const fields = [
  'index',
  'uuid',
  'name',
  'memory.total',
  'memory.used',
  'memory.free',
  'utilization.gpu',
  'mig.mode.current',
];
const query = [`--query-gpu=${fields.join(',')}`, '--format=csv,noheader,nounits'];

/** Asks this machine's nvidia-smi. */
export async function askDriver(args: readonly string[]): Promise<string | undefined> {
  const program = nvidiaSmi(thisMachine);
  if (program === undefined) return undefined;
  try {
    const options = { timeout: 10_000, windowsHide: true, maxBuffer: 2 ** 20 };
    return (await promisify(execFile)(program, [...args], options)).stdout;
  } catch {
    return undefined;
  }
}

/** All devices; none where there is no driver. */
export async function readDeviceUse(ask: AskDriver = askDriver): Promise<DeviceUse[]> {
  return parseDeviceUse((await ask(query)) ?? '');
}

/** One device a line; lines that are none are skipped. */
export function parseDeviceUse(text: string): DeviceUse[] {
  return text.split('\n').flatMap((line) => {
    const [index = '', uuid = '', name = '', total = '', used = '', free = '', busy = '', mode = ''] = line
      .split(',')
      .map((cell) => cell.trim());
    if (!/^\d{1,3}$/.test(index) || name === '') return [];
    const split = mode === 'Enabled';
    const memory = (mebibytes: string): number | null =>
      !split && /^\d{1,9}$/.test(mebibytes) ? Number(mebibytes) * 2 ** 20 : null;
    return {
      index: Number(index),
      uuid,
      name,
      memoryTotalBytes: memory(total),
      memoryUsedBytes: memory(used),
      memoryFreeBytes: memory(free),
      utilization: !split && /^\d{1,3}$/.test(busy) ? Math.min(1, Number(busy) / 100) : null,
      split,
    };
  });
}

/**
 * The device that CUDA calls `number`: numbers count within CUDA_VISIBLE_DEVICES, which names devices by number or by the
 * beginning of a UUID. Undefined where there is none, and for a part of a split device.
 */
export function cudaDevice(
  devices: readonly DeviceUse[],
  number: number,
  visible: string | undefined = process.env.CUDA_VISIBLE_DEVICES,
): DeviceUse | undefined {
  if (visible === undefined) return devices.find(({ index }) => index === number);
  const names = visible.split(',').map((name) => name.trim());
  // CUDA stops at the first name that is none.
  const end = names.findIndex((name) => name === '' || name === '-1');
  const name = (end < 0 ? names : names.slice(0, end))[number];
  if (name === undefined) return undefined;
  return /^\d+$/.test(name)
    ? devices.find(({ index }) => index === Number(name))
    : devices.find(({ uuid }) => name.startsWith('GPU-') && uuid.startsWith(name));
}
