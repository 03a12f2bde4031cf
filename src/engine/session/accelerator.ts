// A device beside the CPU, whichever its provider: where its tensors lie and how much of its memory is taken. It is reached
// through one tiny session, which also proves at opening time that the device is there.
import type { DType } from '../dtype';
import { byteSize, dtypes } from '../dtype';
import { BoundTransfers } from './boundTransfers';
import type { Device } from './device';
import { dimensions, partOf } from './device';
import type { ArenaStats, Environment } from './environment';
import { allocatorStats } from './environment';
import { openIdentitySession } from './identitySession';
import type { Pointer } from './ortApi';
import type { Provider } from './providers';
import { unavailable } from './providers';
import type { Storage, Tensor } from './tensor';
import type { Transfers } from './transfers';

export class Accelerator implements Device {
  readonly kind: 'cuda' | 'webgpu';
  readonly index: number;
  readonly isHost = false;
  /** WebGPU's buffers are handles. */
  readonly addressable: boolean;
  readonly transfers: Transfers;
  private readonly sharesArena: boolean;
  private readonly session: Pointer;
  private readonly allocator: Pointer;
  private readonly memory: Pointer;

  constructor(
    private readonly environment: Environment,
    private readonly provider: Provider,
  ) {
    const { api } = environment;
    this.kind = provider.kind;
    this.index = provider.index;
    this.addressable = provider.kind === 'cuda';
    provider.check();
    let queue: Transfers | undefined;
    try {
      // Before the first session, which is given its stream.
      queue = provider.openQueue?.();
      this.sharesArena = provider.shareArena();
      this.session = this.openSession();
    } catch (cause) {
      queue?.release();
      throw unavailable(this.kind, this.index, (cause as Error).message, provider.remedy, cause);
    }
    // The session knows its device's memory by itself, so that no memory name is spelled here.
    const info = new BigUint64Array(1);
    api.call('SessionGetMemoryInfoForInputs', this.session, info, 1);
    this.memory = info[0] as bigint;
    this.allocator = api.make('CreateAllocator', this.session, this.memory);
    this.transfers =
      queue ?? new BoundTransfers(environment, (sessionOptions) => this.configure(sessionOptions));
  }

  configure(sessionOptions: Pointer): void {
    this.provider.append(sessionOptions);
    if (this.sharesArena) this.environment.shareArena(sessionOptions);
  }

  allocate(dtype: DType, shape: readonly number[], cleared: boolean): Storage {
    const { api } = this.environment;
    const type = dtypes[dtype].onnx;
    const value = api.make('CreateTensorAsOrtValue', this.allocator, dimensions(shape), shape.length, type);
    const storage = { value, address: null, free: () => void api.get('ReleaseValue', value) };
    if (!cleared) return storage;
    // Device memory comes as it was left.
    try {
      this.transfers.clear({ value, dtype, shape, bytes: byteSize(dtype, shape) });
    } catch (error) {
      storage.free();
      throw error;
    }
    return storage;
  }

  part(whole: Tensor, offset: number, dtype: DType, shape: readonly number[]): Storage {
    return partOf(this.environment, this.memory, whole, offset, dtype, shape);
  }

  arenaStats(): ArenaStats {
    return allocatorStats(this.environment.api, this.allocator);
  }

  release(): void {
    const { api } = this.environment;
    this.transfers.release();
    api.get('ReleaseAllocator', this.allocator);
    api.get('ReleaseSession', this.session);
  }

  private openSession(): Pointer {
    const { api, pointer } = this.environment;
    return openIdentitySession(api, pointer, 'float32', (options) => {
      // Without this a provider that did not start would be replaced by the CPU in silence.
      api.call('AddSessionConfigEntry', options, 'session.disable_cpu_ep_fallback', '1');
      this.configure(options);
    });
  }
}
