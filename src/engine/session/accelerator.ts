// A device beside the CPU, whichever its provider: where its tensors lie and how bytes get there and back. It is reached
// through one tiny session, which also proves at opening time that the device is there.
import type { DType } from '../dtype';
import { byteSize, dtypes } from '../dtype';
import { BoundCopy } from './boundCopy';
import type { Device } from './device';
import { dimensions, hostValue, partOf } from './device';
import type { ArenaStats, Environment } from './environment';
import { allocatorStats } from './environment';
import { reserve } from './hostMemory';
import { openIdentitySession } from './identitySession';
import type { Pointer } from './ortApi';
import type { Provider } from './providers';
import { unavailable } from './providers';
import type { Storage, Tensor } from './tensor';

export class Accelerator implements Device {
  readonly kind: 'cuda' | 'webgpu';
  readonly index: number;
  readonly isHost = false;
  /** WebGPU's buffers are handles. */
  readonly addressable: boolean;
  private readonly sharesArena: boolean;
  private readonly session: Pointer;
  private readonly allocator: Pointer;
  private readonly memory: Pointer;
  private readonly copies: BoundCopy;

  constructor(
    private readonly environment: Environment,
    private readonly provider: Provider,
  ) {
    const { api } = environment;
    this.kind = provider.kind;
    this.index = provider.index;
    this.addressable = provider.kind === 'cuda';
    provider.check();
    try {
      this.sharesArena = provider.shareArena();
      this.session = this.openSession();
    } catch (cause) {
      throw unavailable(this.kind, this.index, (cause as Error).message, provider.remedy, cause);
    }
    // The session knows its device's memory by itself, so that no memory name is spelled here.
    const info = new BigUint64Array(1);
    api.call('SessionGetMemoryInfoForInputs', this.session, info, 1);
    this.memory = info[0] as bigint;
    this.allocator = api.make('CreateAllocator', this.session, this.memory);
    this.copies = new BoundCopy(environment, (sessionOptions) => this.configure(sessionOptions));
  }

  configure(sessionOptions: Pointer): void {
    this.provider.append(sessionOptions);
    if (this.sharesArena) this.environment.shareArena(sessionOptions);
  }

  allocate(dtype: DType, shape: readonly number[]): Storage {
    const { api } = this.environment;
    const type = dtypes[dtype].onnx;
    const value = api.make('CreateTensorAsOrtValue', this.allocator, dimensions(shape), shape.length, type);
    const storage = { value, address: null, free: () => void api.get('ReleaseValue', value) };
    // Device memory comes as it was left. Pages of zeros cost no memory here until they are written.
    const zeros = reserve(byteSize(dtype, shape));
    try {
      this.copyFromHost(value, zeros.address, dtype, shape);
    } catch (error) {
      storage.free();
      throw error;
    } finally {
      zeros.free();
    }
    return storage;
  }

  part(whole: Tensor, offset: number, dtype: DType, shape: readonly number[]): Storage {
    return partOf(this.environment, this.memory, whole, offset, dtype, shape);
  }

  upload(tensor: Tensor, from: ArrayBufferView | Pointer): void {
    this.copyFromHost(tensor.value, from, tensor.dtype, tensor.shape);
  }

  download(tensor: Tensor, to: ArrayBufferView): void {
    if (tensor.bytes === 0) return;
    const target = hostValue(this.environment, to, tensor.dtype, tensor.shape);
    try {
      this.copies.copy(tensor.dtype, tensor.value, target);
    } finally {
      this.environment.api.get('ReleaseValue', target);
    }
  }

  arenaStats(): ArenaStats {
    return allocatorStats(this.environment.api, this.allocator);
  }

  release(): void {
    const { api } = this.environment;
    this.copies.release();
    api.get('ReleaseAllocator', this.allocator);
    api.get('ReleaseSession', this.session);
  }

  private copyFromHost(
    value: Pointer,
    from: ArrayBufferView | Pointer,
    dtype: DType,
    shape: readonly number[],
  ): void {
    if (byteSize(dtype, shape) === 0) return;
    const source = hostValue(this.environment, from, dtype, shape);
    try {
      this.copies.copy(dtype, source, value);
    } finally {
      this.environment.api.get('ReleaseValue', source);
    }
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
