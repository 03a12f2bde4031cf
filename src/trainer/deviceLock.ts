// One training per device: a lock file in the system's folder for temporary files, named by user and device. A holder that
// is dead loses it.
import { mkdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { RunError } from '../engine/errors';
import { RunLock } from '../engine/run/runLock';

/**
 * The device that a setting means, as far as locks go: `auto` is the CPU, `cuda` is `cuda:0`, and the numbers of CUDA
 * devices count within CUDA_VISIBLE_DEVICES.
 */
export function deviceKey(device: string, env: NodeJS.ProcessEnv = process.env): string {
  if (device === 'auto') return 'cpu';
  const index = /^cuda(?::(\d+))?$/.exec(device);
  if (index === null) return device;
  const visible = env.CUDA_VISIBLE_DEVICES?.split(',').map((name) => name.trim()) ?? [];
  const number = Number(index[1] ?? 0);
  return `cuda:${visible[number] || number}`;
}

/** The lock's file. */
export function deviceLockPath(device: string): string {
  const user = String(userInfo().uid).replace(/[^\w-]/g, '');
  const folder = join(tmpdir(), `lora-workbench-${user}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return join(folder, `${deviceKey(device).replace(/[^\w-]/g, '-')}.lock`);
}

/** Who trains on a device. */
export interface DeviceHolder {
  pid: number;
  /** The run's folder; null where the holder does not say. */
  run: string | null;
}

/** Takes the device's lock for a run, or tells who holds it. */
export function tryDeviceLock(device: string, run: string): RunLock | DeviceHolder {
  try {
    return RunLock.take(deviceLockPath(device), run);
  } catch (cause) {
    if (!(cause instanceof RunError) || cause.code !== 'run-locked') throw cause;
    const { pid, subject } = cause.facts;
    return { pid: Number(pid ?? 0), run: typeof subject === 'string' ? subject : null };
  }
}

/** Who holds a device, in words, and how to go around it. */
export function busyText(device: string, { pid, run }: DeviceHolder): { message: string; remedy: string } {
  const number = /^cuda(?::(\d+))?$/.exec(device);
  const other = number === null ? 'cpu' : `cuda:${Number(number[1] ?? 0) + 1}`;
  return {
    message: `Process ${pid} trains on ${device} already${run === null ? '' : `: ${run}`}.`,
    remedy: `Wait for it or stop it, or choose another device, for example --device ${other}.`,
  };
}

/** What a run that queues waits for: short, for it stands beside the run's name. */
export function waitingText(device: string, { pid, run }: DeviceHolder): string {
  return run === null
    ? `Waiting for ${device}: process ${pid} trains there`
    : `Waiting for ${device}: ${basename(run)} trains there (process ${pid})`;
}

/**
 * The device for one training that does not queue. The CPU is shared by the system, which also tells its memory, so two
 * runs there are no accident; a device's memory is taken whole. Undefined where there is nothing to take.
 * @throws RunError `device-busy`.
 */
export function takeDevice(device: string, run: string): RunLock | undefined {
  if (deviceKey(device) === 'cpu') return undefined;
  const taken = tryDeviceLock(device, run);
  if (taken instanceof RunLock) return taken;
  const facts = { device, pid: taken.pid, run: taken.run };
  throw new RunError({ code: 'device-busy', ...busyText(device, taken), facts });
}
