// What CUDA itself takes of a device beside a run's tensors: its context, loaded kernels, the workspaces of its libraries. Runs
// measure it, and it is remembered by device and runtime; until then it is an estimate, and says so.
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { cudaDevice, type DeviceUse } from '../cuda/deviceUse';
import { runtimePackage } from '../cuda/runtimePackage';
import { storageFolder } from '../cuda/storage';
import { writeFileAtomic } from '../files/atomic';
import { isJsonObject } from '../files/json';

export interface DeviceContext {
  bytes: number;
  /** By a run on a device of this name with this runtime, on this machine; else it is `estimatedBytes`. */
  measured: boolean;
}

/** Of a process that computes on CUDA with kernels loaded when first used, as PyTorch measured it. */
export const estimatedBytes = 287_047_680;
export const estimateSource = 'github.com/pytorch/pytorch/pull/86509';

/** What is less or more is another program's doing. */
const plausible = { least: 2 ** 24, most: 2 ** 32 };
const fileName = 'contexts.json';
const mostEntries = 64;

interface Entry {
  device: string;
  runtime: string;
  bytes: number;
}

/** @param name of the device in the driver's words; undefined where nothing tells. */
export function deviceContext(
  name: string | undefined,
  storage: string = storageFolder(),
  runtime: string = runtimeVersion(),
): DeviceContext {
  const found = readEntries(storage).find((one) => one.device === name && one.runtime === runtime);
  return found ? { bytes: found.bytes, measured: true } : { bytes: estimatedBytes, measured: false };
}

/** Takes the place of what was known of the device with this runtime. */
export async function rememberContext(
  name: string,
  bytes: number,
  storage: string = storageFolder(),
  runtime: string = runtimeVersion(),
): Promise<void> {
  const others = readEntries(storage).filter((one) => one.device !== name || one.runtime !== runtime);
  const entries: Entry[] = [...others.slice(1 - mostEntries), { device: name, runtime, bytes }];
  mkdirSync(storage, { recursive: true });
  await writeFileAtomic(join(storage, fileName), `${JSON.stringify({ contexts: entries }, null, 2)}\n`);
}

/** Measures it once in a run: what the device lost since nobody had opened it here, without what the arena holds. */
export class ContextMeter {
  readonly #before: DeviceUse | undefined;
  #arena: number | undefined;
  #done = false;

  /** @param before read before this process opened a device. */
  constructor(
    before: readonly DeviceUse[],
    index: number,
    private readonly remember: (name: string, bytes: number) => Promise<void> = rememberContext,
  ) {
    this.#before = cudaDevice(before, index);
  }

  /** Of the driver, before the device was opened. */
  get name(): string | undefined {
    return this.#before?.name;
  }

  /**
   * What the driver tells of the device once steps are done, so that their kernels are loaded. The arena must have been as
   * large at the look before, else it may have grown between the driver's answer and now.
   */
  async seen(use: DeviceUse, arenaBytes: number): Promise<void> {
    const steady = this.#arena === arenaBytes;
    this.#arena = arenaBytes;
    const [free, now] = [this.#before?.memoryFreeBytes ?? null, use.memoryFreeBytes];
    if (this.#done || !steady || free === null || now === null) return;
    this.#done = true;
    const bytes = free - now - arenaBytes;
    if (bytes >= plausible.least && bytes <= plausible.most) await this.remember(use.name, bytes);
  }
}

function readEntries(storage: string): Entry[] {
  try {
    const whole: unknown = JSON.parse(readFileSync(join(storage, fileName), 'utf8'));
    if (!isJsonObject(whole) || !Array.isArray(whole.contexts)) return [];
    return whole.contexts.slice(0, mostEntries).flatMap((one: unknown) => {
      const { device, runtime, bytes } = isJsonObject(one) ? one : {};
      const fits = typeof bytes === 'number' && bytes >= plausible.least && bytes <= plausible.most;
      return typeof device === 'string' && typeof runtime === 'string' && fits
        ? [{ device, runtime, bytes }]
        : [];
    });
  } catch {
    // Never written, or not by us.
    return [];
  }
}

/** Without a runtime nothing is known of it. */
function runtimeVersion(): string {
  try {
    return runtimePackage().version;
  } catch {
    return '';
  }
}
