// The process's one ONNX Runtime environment: a thread pool and a CPU arena that every session shares. It knows no
// device but the CPU.
import { availableParallelism, cpus } from 'node:os';
import type { RuntimeOptions } from './contract';
import { openIdentitySession } from './identitySession';
import type { OrtApi, Pointer } from './ortApi';
import { cString, pointerArray } from './ortApi';
import { ort } from './ortSignatures';

/** Counters of one arena, in bytes. */
export interface ArenaStats {
  inUse: number;
  peak: number;
  reserved: number;
}

export class Environment {
  readonly pointer: Pointer;
  /** Describes memory of this process; for tensors over our own bytes. */
  readonly hostMemoryInfo: Pointer;
  private arena: { session: Pointer; allocator: Pointer } | undefined;

  constructor(
    readonly api: OrtApi,
    options: RuntimeOptions,
  ) {
    const threading = api.make('CreateThreadingOptions');
    try {
      api.call('SetGlobalIntraOpNumThreads', threading, options.threads ?? defaultThreads());
      // Sessions run their operators one after another, so the second pool would only hold memory.
      api.call('SetGlobalInterOpNumThreads', threading, 1);
      api.call('SetGlobalSpinControl', threading, options.spinning === false ? 0 : 1);
      const level = ort.logging[options.logLevel ?? 'fatal'];
      this.pointer = api.make('CreateEnvWithGlobalThreadPools', level, 'lora-workbench', threading);
    } finally {
      api.get('ReleaseThreadingOptions', threading);
    }
    api.call('DisableTelemetryEvents', this.pointer);
    this.hostMemoryInfo = api.make('CreateMemoryInfo', 'Cpu', ort.allocator.arena, 0, ort.memory.default);
    const limit = options.device.kind === 'cpu' ? (options.memoryLimitBytes ?? 0) : 0;
    withArenaConfig(api, limit, (config) =>
      api.call('CreateAndRegisterAllocator', this.pointer, this.hostMemoryInfo, config),
    );
  }

  /** Makes a session take its activations from the shared arena. */
  shareArena(sessionOptions: Pointer): void {
    this.api.call('AddSessionConfigEntry', sessionOptions, 'session.use_env_allocators', '1');
  }

  arenaStats(): ArenaStats {
    // The environment's own handle on the arena keeps no counters (1.30); a session's handle on the same arena does.
    if (!this.arena) {
      const configure = (options: Pointer) => this.shareArena(options);
      const session = openIdentitySession(this.api, this.pointer, 'uint8', configure);
      const allocator = this.api.make('CreateAllocator', session, this.hostMemoryInfo);
      this.arena = { session, allocator };
    }
    return allocatorStats(this.api, this.arena.allocator);
  }

  release(): void {
    if (this.arena) {
      this.api.get('ReleaseAllocator', this.arena.allocator);
      this.api.get('ReleaseSession', this.arena.session);
    }
    this.api.get('ReleaseMemoryInfo', this.hostMemoryInfo);
    this.api.get('ReleaseEnv', this.pointer);
  }
}

/** An arena that asks for what it needs and not for the next power of two. A limit of 0 means none. */
export function withArenaConfig(api: OrtApi, limitBytes: number, use: (config: Pointer) => void): void {
  const keys = ['arena_extend_strategy', 'max_mem'];
  const config = api.make('CreateArenaCfgV2', keys, [ort.arena.sameAsRequested, limitBytes], keys.length);
  try {
    use(config);
  } finally {
    api.get('ReleaseArenaCfg', config);
  }
}

/** An allocator's counters; zeros where it keeps none. */
export function allocatorStats(api: OrtApi, allocator: Pointer): ArenaStats {
  const pairs = api.make('AllocatorGetStats', allocator);
  try {
    const stats = keyValuePairs(api, pairs);
    return {
      inUse: Number(stats.get('InUse') ?? 0),
      peak: Number(stats.get('MaxInUse') ?? 0),
      reserved: Number(stats.get('TotalAllocated') ?? 0),
    };
  } finally {
    api.get('ReleaseKeyValuePairs', pairs);
  }
}

export function keyValuePairs(api: OrtApi, pairs: Pointer): Map<string, string> {
  const keys: [Pointer | null] = [null];
  const values: [Pointer | null] = [null];
  const count: [number] = [0];
  api.get('GetKeyValuePairs', pairs, keys, values, count);
  const valuePointers = pointerArray(values[0], count[0]);
  return new Map(
    pointerArray(keys[0], count[0]).map((key, i) => [cString(key), cString(valuePointers[i] ?? null)]),
  );
}

/** 0 lets ONNX Runtime take every physical core, which is wrong where the process may use only some. */
function defaultThreads(): number {
  return availableParallelism() < cpus().length ? availableParallelism() : 0;
}
