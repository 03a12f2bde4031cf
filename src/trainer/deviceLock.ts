// One training per device: a lock file in the system's folder for temporary files, named by user and device. A holder that
// is dead loses it.
import { mkdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { RunError } from '../engine/errors';
import { RunLock } from '../engine/run/runLock';

/** The device that a setting means, as far as locks go: `auto` is the CPU, `cuda` is `cuda:0`. */
export function deviceKey(device: string): string {
  if (device === 'auto') return 'cpu';
  return device === 'cuda' ? 'cuda:0' : device;
}

/** The lock's file. */
export function deviceLockPath(device: string): string {
  const user = String(userInfo().uid).replace(/[^\w-]/g, '');
  const folder = join(tmpdir(), `lora-workbench-${user}`);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return join(folder, `${deviceKey(device).replace(/[^\w-]/g, '-')}.lock`);
}

/** Takes the device's lock, or tells which process holds it. */
export function tryDeviceLock(device: string): RunLock | { heldBy: number } {
  try {
    return RunLock.take(deviceLockPath(device));
  } catch (cause) {
    if (cause instanceof RunError && cause.code === 'run-locked')
      return { heldBy: Number(cause.facts.pid ?? 0) };
    throw cause;
  }
}
