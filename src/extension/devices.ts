// The devices that a run could be given, with their free memory: asked in the background, kept, asked again while somebody
// looks. No process is started in a folder that is not trusted. It knows no page and not the editor.
import { EventEmitter } from 'node:events';
import { freemem } from 'node:os';
import type { DeviceUse } from '../engine/cuda/deviceUse';
import type { DeviceContext } from '../engine/estimate/deviceContext';
import type { DeviceFacts } from '../protocol/panels/configure';

/** How old an answer may be; where there is no driver, one will hardly come within the minute. */
const freshMs = 4000;
const freshWithoutMs = 60_000;

const isCuda = (device: string): boolean => /^cuda(?::\d+)?$/.test(device);

async function freeHere(): Promise<number> {
  const { availableMemory } = await import('./engineParts');
  return availableMemory({ kind: 'cpu' }).catch(() => freemem());
}

interface Disposable {
  dispose(): void;
}

export class Devices implements Disposable {
  readonly #changed = new EventEmitter();
  #devices: readonly DeviceUse[] = [];
  #askedAt = Number.NEGATIVE_INFINITY;
  #asking: Promise<void> | undefined;
  #watchers = 0;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param storage the folder that the settings name for CUDA's files.
   * @param read stands in for nvidia-smi in tests.
   * @param installed stands in for the look for CUDA's provider in tests.
   */
  constructor(
    private readonly trusted: () => boolean,
    private readonly storage: () => string | undefined,
    private readonly read?: () => Promise<DeviceUse[]>,
    private readonly installed?: () => boolean,
  ) {}

  /** The devices or their free memory are others now. */
  onDidChange(listener: () => void): Disposable {
    this.#changed.on('change', listener);
    return { dispose: () => void this.#changed.off('change', listener) };
  }

  /** NVIDIA's devices as CUDA counts them. */
  get cuda(): readonly DeviceFacts[] {
    return this.#facts;
  }
  #facts: readonly DeviceFacts[] = [];

  /** Bytes that a run on a device can take; null where nothing tells. `cuda` is `cuda:0`. */
  async free(device: string): Promise<number | null> {
    if (!isCuda(device)) return freeHere();
    const asked = this.refresh();
    // Only what was never known is waited for.
    if (this.#facts.length === 0) await asked;
    return this.#factsOf(device)?.freeBytes ?? null;
  }

  /** What a run with `device: auto` will take, as far as that can be told without opening a device: it tries the freest first. */
  async auto(): Promise<string> {
    const asked = this.refresh();
    if (this.#facts.length === 0) await asked;
    const [first] = [...this.#facts].sort((a, b) => (b.freeBytes ?? 0) - (a.freeBytes ?? 0));
    if (first === undefined) return 'cpu';
    const { providerInstalled, storageFolder } = await import('./engineParts');
    const there = this.installed ?? (() => providerInstalled(this.storage() ?? storageFolder()));
    return there() ? first.id : 'cpu';
  }

  /** Bytes of system memory that are free, for what lies there beside the device; null where the device is the CPU. */
  async freeBeside(device: string): Promise<number | null> {
    return isCuda(device) || device === 'webgpu' ? freeHere() : null;
  }

  /** What CUDA itself takes of a device; null for others. */
  async context(device: string): Promise<DeviceContext | null> {
    if (!isCuda(device)) return null;
    const { deviceContext, storageFolder } = await import('./engineParts');
    return deviceContext(this.#factsOf(device)?.name, this.storage() ?? storageFolder());
  }

  #factsOf(device: string): DeviceFacts | undefined {
    const id = `cuda:${Number(device.split(':')[1] ?? 0)}`;
    return this.#facts.find((one) => one.id === id);
  }

  /** Asks anew unless the last answer is fresh. Never rejects. */
  refresh(): Promise<void> {
    const fresh = this.#devices.length > 0 ? freshMs : freshWithoutMs;
    if (!this.trusted() || performance.now() - this.#askedAt < fresh)
      return this.#asking ?? Promise.resolve();
    this.#askedAt = performance.now();
    this.#asking = this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** Keeps the answers fresh until the result is disposed of. */
  watch(): Disposable {
    this.#watchers++;
    this.#timer ??= setInterval(() => void this.refresh(), freshMs);
    void this.refresh();
    let held = true;
    return {
      dispose: () => {
        if (!held) return;
        held = false;
        if (--this.#watchers > 0) return;
        clearInterval(this.#timer);
        this.#timer = undefined;
      },
    };
  }

  dispose(): void {
    clearInterval(this.#timer);
    this.#changed.removeAllListeners();
  }

  async #ask(): Promise<void> {
    const { readDeviceUse, cudaDevice } = await import('./engineParts');
    this.#devices = await (this.read ?? readDeviceUse)().catch(() => []);
    const facts = this.#devices.flatMap((_, number): DeviceFacts[] => {
      const use = cudaDevice(this.#devices, number);
      if (use === undefined) return [];
      const { name, memoryFreeBytes, memoryTotalBytes, utilization, split } = use;
      return [
        {
          id: `cuda:${number}`,
          name,
          freeBytes: memoryFreeBytes,
          totalBytes: memoryTotalBytes,
          utilization,
          split,
        },
      ];
    });
    if (JSON.stringify(facts) === JSON.stringify(this.#facts)) return;
    this.#facts = facts;
    this.#changed.emit('change');
  }
}
