// The one CUDA stream on which all sessions' kernels and all copies run, in the order in which they were started, so that the
// host waits only where it needs a number. Made and driven through CUDA's own runtime library; knows no sessions.
import type { LibraryHandle } from 'koffi';
import { SessionError } from '../errors';
import type { GraphQueue } from './capture';
import { copyBytes } from './hostMemory';
import type { OrtApi, Pointer } from './ortApi';
import { PinnedStaging, type Stretch } from './pinnedStaging';
import type { Place, Transfers } from './transfers';

/** cudaMemcpyKind. */
const kinds = { toDevice: 1, toHost: 2, within: 3 } as const;
/** cudaStreamCaptureModeRelaxed: other threads may go on using CUDA. */
const relaxed = 2;
const outOfMemory = 2;
/**
 * Larger uploads go from where they lie: CUDA takes them through its own buffers and may wait for the stream meanwhile. So
 * it is with weights, not with batches.
 */
const stagedUpTo = 4 << 20;

type Native = ((...args: unknown[]) => unknown) & {
  async(...args: [...unknown[], (error: unknown, result: unknown) => void]): void;
};

/** Bytes on their way to the host. */
interface Fetch {
  number: number;
  to: ArrayBufferView;
  from: Stretch;
  bytes: number;
}

/** The functions of CUDA's runtime library, `int f(…)` all. */
const signatures = {
  cudaSetDevice: ['int'],
  cudaStreamCreateWithFlags: ['_Out_ void **', 'uint'],
  cudaStreamDestroy: ['void *'],
  cudaStreamSynchronize: ['void *'],
  cudaMemcpyAsync: ['void *', 'void *', 'size_t', 'int', 'void *'],
  cudaMemsetAsync: ['void *', 'int', 'size_t', 'void *'],
  cudaMallocHost: ['_Out_ void **', 'size_t'],
  cudaFreeHost: ['void *'],
  cudaGetLastError: [],
  cudaStreamBeginCapture: ['void *', 'int'],
  cudaStreamEndCapture: ['void *', '_Out_ void **'],
  cudaGraphInstantiate: ['_Out_ void **', 'void *', 'uint64'],
  cudaGraphDestroy: ['void *'],
  cudaGraphLaunch: ['void *', 'void *'],
  cudaGraphExecDestroy: ['void *'],
} as const;
type CudaFunction = keyof typeof signatures;

export class CudaQueue implements Transfers, GraphQueue {
  readonly queued = true;
  /** The cudaStream_t, for the provider's `user_compute_stream`. */
  readonly stream: Pointer;
  private readonly functions: ReadonlyMap<CudaFunction, Native>;
  private readonly errorString: Native;
  private readonly staging: PinnedStaging;
  private fetches: Fetch[] = [];
  private fetched = 0;

  /** @throws Error with CUDA's words where the device gives no stream. */
  constructor(
    library: LibraryHandle,
    private readonly api: OrtApi,
    private readonly index: number,
  ) {
    this.functions = new Map(
      (Object.keys(signatures) as CudaFunction[]).map((name) => [
        name,
        library.func(name, 'int', [...signatures[name]]) as Native,
      ]),
    );
    this.errorString = library.func('cudaGetErrorString', 'str', ['int']) as Native;
    this.staging = new PinnedStaging({
      make: (bytes) => {
        const block: [Pointer | null] = [null];
        this.call('cudaMallocHost', block, bytes);
        return block[0] as Pointer;
      },
      free: (block) => this.quietly('cudaFreeHost', block),
    });
    this.call('cudaSetDevice', index);
    const stream: [Pointer | null] = [null];
    // 0: what the runtime does on CUDA's default stream (while it opens sessions) is in order with this one.
    this.call('cudaStreamCreateWithFlags', stream, 0);
    this.stream = stream[0] as Pointer;
  }

  clear(place: Place): void {
    if (place.bytes === 0) return;
    this.call('cudaSetDevice', this.index);
    this.call('cudaMemsetAsync', this.addressOf(place), 0, place.bytes, this.stream);
  }

  upload(place: Place, from: ArrayBufferView | Pointer): void {
    const { bytes } = place;
    if (bytes === 0) return;
    this.call('cudaSetDevice', this.index);
    const to = this.addressOf(place);
    if (bytes > stagedUpTo) {
      // From pageable memory: CUDA has read all of it when the call returns.
      this.call('cudaMemcpyAsync', to, from, bytes, kinds.toDevice, this.stream);
      return;
    }
    const { address } = this.staged(bytes);
    copyBytes(address, from, bytes);
    this.call('cudaMemcpyAsync', to, address, bytes, kinds.toDevice, this.stream);
  }

  download(place: Place, to: ArrayBufferView | Pointer): void {
    if (place.bytes === 0) return;
    this.call('cudaSetDevice', this.index);
    this.call('cudaMemcpyAsync', to, this.addressOf(place), place.bytes, kinds.toHost, this.stream);
    this.waitNow();
  }

  copy(from: Place, to: Place): void {
    if (from.bytes === 0) return;
    this.call('cudaSetDevice', this.index);
    const [target, source] = [this.addressOf(to), this.addressOf(from)];
    this.call('cudaMemcpyAsync', target, source, from.bytes, kinds.within, this.stream);
  }

  fetch(place: Place, to: ArrayBufferView): void {
    const { bytes } = place;
    if (bytes === 0) return;
    this.call('cudaSetDevice', this.index);
    const from = this.staged(bytes);
    this.call('cudaMemcpyAsync', from.address, this.addressOf(place), bytes, kinds.toHost, this.stream);
    this.fetches.push({ number: ++this.fetched, to, from, bytes });
  }

  async wait(): Promise<void> {
    const [fetched, mark] = [this.fetched, this.staging.mark()];
    const wait = this.functions.get('cudaStreamSynchronize')!;
    const code = await new Promise<number>((resolve, reject) => {
      wait.async(this.stream, (error: unknown, result: unknown) =>
        error ? reject(error) : resolve(Number(result)),
      );
    });
    this.check('cudaStreamSynchronize', code);
    this.arrived(fetched, mark);
  }

  waitNow(): void {
    const [fetched, mark] = [this.fetched, this.staging.mark()];
    this.call('cudaStreamSynchronize', this.stream);
    this.arrived(fetched, mark);
  }

  beginCapture(): void {
    this.call('cudaSetDevice', this.index);
    this.call('cudaStreamBeginCapture', this.stream, relaxed);
  }

  endCapture(): Pointer | null {
    const graph: [Pointer | null] = [null];
    const executable: [Pointer | null] = [null];
    const ended = Number(this.functions.get('cudaStreamEndCapture')!(this.stream, graph));
    if (ended === 0 && graph[0] !== null) {
      const made = Number(this.functions.get('cudaGraphInstantiate')!(executable, graph[0], 0));
      this.quietly('cudaGraphDestroy', graph[0]);
      if (made === 0) return executable[0];
    }
    // What kept it from being recorded must not be blamed on the next call.
    this.quietly('cudaGetLastError');
    return null;
  }

  launch(graph: Pointer): void {
    this.call('cudaSetDevice', this.index);
    this.call('cudaGraphLaunch', graph, this.stream);
  }

  freeGraph(graph: Pointer): void {
    this.quietly('cudaGraphExecDestroy', graph);
  }

  release(): void {
    // A device that failed says so again at every call; whoever closes has heard it.
    this.quietly('cudaStreamSynchronize', this.stream);
    this.staging.release();
    this.quietly('cudaStreamDestroy', this.stream);
  }

  /** Pinned memory for a copy under way. Where there is no more, what is under way is waited for. */
  private staged(bytes: number): Stretch {
    const stretch = this.staging.take(bytes);
    if (stretch) return stretch;
    this.waitNow();
    return this.staging.take(bytes, true)!;
  }

  /** Hands out what was fetched before a wait began; the staging memory up to its mark is free again. */
  private arrived(fetched: number, mark: number): void {
    for (const { number, to, from, bytes } of this.fetches)
      if (number <= fetched) copyBytes(to, from.address, bytes);
    this.fetches = this.fetches.filter(({ number }) => number > fetched);
    this.staging.free(mark);
  }

  private addressOf({ value }: Place): Pointer {
    return this.api.make('GetTensorMutableData', value);
  }

  private call(name: CudaFunction, ...args: unknown[]): void {
    this.check(name, Number(this.functions.get(name)!(...args)));
  }

  private quietly(name: CudaFunction, ...args: unknown[]): void {
    this.functions.get(name)!(...args);
  }

  private check(name: CudaFunction, code: number): void {
    if (code === 0) return;
    const words = String(this.errorString(code));
    const facts = { cuda_function: name, cuda_code: code };
    if (code === outOfMemory) {
      throw new SessionError({
        code: 'out-of-memory',
        message: `The device ran out of memory: ${words}.`,
        remedy: 'Lower per_device_train_batch_size or max_length, or turn gradient_checkpointing on.',
        facts,
      });
    }
    throw new SessionError({
      code: 'device-failed',
      message: `The device failed: ${words}.`,
      remedy:
        'Start again from the last checkpoint. If it fails again, report this with the message and the doctor’s report.',
      facts,
    });
  }
}
