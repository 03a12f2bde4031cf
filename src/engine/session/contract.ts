// What the rest of the engine sees of the runtime: devices, tensors that live on a device, sessions that run a model on
// them. It names no library: whoever reads this file cannot tell how a model is run.
import type { DType } from '../dtype';

export type DeviceKind = 'cpu' | 'cuda' | 'webgpu';

export interface DeviceChoice {
  kind: DeviceKind;
  /** Which device of that kind, from 0. Default 0. */
  index?: number;
}

/** A device that this machine and this installation can offer. */
export interface DeviceDescription {
  kind: DeviceKind;
  index: number;
  /** What a person calls it, for example the processor's model name. */
  name: string;
}

export type LogLevel = 'verbose' | 'info' | 'warning' | 'error' | 'fatal';

export interface RuntimeOptions {
  device: DeviceChoice;
  /** Threads of the one pool that all sessions share. Default: the physical cores this process may use. */
  threads?: number;
  /** Whether idle threads spin between operators: faster alone, a nuisance to neighbours. Default true. */
  spinning?: boolean;
  /** Most bytes that runs may use for activations on the device. Default: no limit. */
  memoryLimitBytes?: number;
  /** How the arena on CUDA grows: by what is asked for, or to the next power of two. Default `same-as-requested`. */
  arenaGrowth?: 'same-as-requested' | 'next-power-of-two';
  /** Whether float32 products on CUDA may round their factors to 10 bits of mantissa. Default false, as PyTorch. */
  tf32?: boolean;
  /**
   * Whether all sessions on CUDA work in one queue, so that the host need not wait after each run. Default true; false makes
   * every run and every copy a wait, to tell whether a fault comes from there.
   */
  queue?: boolean;
  /** Whether programs of fixed shape may be recorded as CUDA graphs. Default false: not measured yet. */
  graphs?: boolean;
  /**
   * Whether sessions that do not say otherwise refuse a graph of which an operator would run on the CPU. Default true on CUDA:
   * what is measured and tested there is measured and tested there.
   */
  disableCpuFallback?: boolean;
  /** What the runtime itself writes to stderr. Default `fatal`: errors come as SessionErrors. */
  logLevel?: LogLevel;
}

/** The typed array that holds one element type; the two 16-bit floats travel as their bits. */
export type HostArray =
  | Float32Array
  | Float64Array
  | Uint16Array
  | BigInt64Array
  | Int32Array
  | Int8Array
  | Uint8Array;

/** A dense tensor on the runtime's device. */
export interface DeviceTensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  /** Size in bytes. */
  readonly bytes: number;
  /** False where the memory is a read-only file: such a tensor cannot be an output. */
  readonly writable: boolean;
  readonly released: boolean;
  /** Gives it up. The memory is freed when no session binds it and no view of it is alive any more. */
  release(): void;
}

/** A file in the address space, read-only. It must not be truncated while it is mapped. */
export interface MappedFile {
  readonly path: string;
  readonly bytes: number;
  readonly released: boolean;
  /** Gives it up. The mapping ends with the last tensor over it. */
  release(): void;
}

/** Where memory goes. On devices other than the CPU, tensors lie in the arena and count there too. */
export interface ArenaMemory {
  /** Bytes of activations and scratch in use now. */
  inUseBytes: number;
  /** The most that were ever in use at once since the runtime was opened. */
  peakBytes: number;
  /** Bytes that the arena holds from the operating system or the device. */
  reservedBytes: number;
  /** Bytes of the tensors made by `allocate` and `fromHost`. */
  tensorBytes: number;
  /** Bytes of mapped files; they count as page cache, not as the process's own memory. */
  mappedBytes: number;
}

export interface SessionOptions {
  /** How far the runtime rewrites the graph. Default `all`, less the `disabledOptimizers`. */
  optimization?: 'none' | 'basic' | 'extended' | 'all';
  /**
   * Rewrites left out. Default: the two that undo what the emitter decided, common-subexpression elimination (which
   * merges a recomputed forward with the first one) and constant folding (which materialises dequantised weights); on CUDA a fusion
   * whose kernel needs cuDNN.
   */
  disabledOptimizers?: readonly string[];
  /** One planned block for all activations. Default false: it holds more than the planned order needs. */
  memoryPattern?: boolean;
  /** Packed copies of constant weights. Default false: 0-8 % faster, a second copy of the weights. */
  prepacking?: boolean;
  /** Refuses a graph of which an operator would run on the CPU although the device is another. Default: the runtime's. */
  disableCpuFallback?: boolean;
  /**
   * Where runs can be recorded (CUDA with a queue): from the third run on with the same tensors bound, launches one CUDA graph in
   * place of its kernels. Not for models that read an input in host memory, whose values a graph has inside. Default false.
   */
  capture?: boolean;
  /** Records which operator runs where, for `nodeAssignments`. Default false. */
  recordAssignments?: boolean;
  /** Values of symbolic dimensions, by name, fixed for this session. */
  dimensions?: Readonly<Record<string, number>>;
  /** Prefix of a profile file; `endProfiling` returns its whole path. */
  profilePrefix?: string;
  /** Where the model is written as it is after the rewrites. */
  optimizedModelPath?: string;
  /** Folder under which the model's external data lies. */
  externalDataFolder?: string;
}

/** One input or output of a model. A dimension is a number, a symbol's name, or null where nothing is known. */
export interface PortDescription {
  name: string;
  dtype: DType;
  shape: readonly (number | string | null)[];
}

export interface NodeAssignment {
  node: string;
  operator: string;
  /** Provider's name, for example `CPUExecutionProvider`. */
  provider: string;
}

export interface Session {
  readonly inputs: readonly PortDescription[];
  readonly outputs: readonly PortDescription[];
  readonly running: boolean;
  /** Whether the next run is the launch of a graph. */
  readonly recorded: boolean;
  /** Binds a tensor until another takes its place. @throws SessionError unknown name, other type or shape. */
  bindInput(name: string, tensor: DeviceTensor): void;
  /**
   * Binds the memory that an output is written to; it may be a bound input too (state updated in place), which is right
   * only where everything that reads the old value runs before the update. Unbound outputs are not returned.
   */
  bindOutput(name: string, tensor: DeviceTensor): void;
  /**
   * Runs once, off the event loop, and waits until the device is done. @throws SessionError `run-cancelled`,
   * `out-of-memory`, `runtime-failed`, `device-failed`.
   */
  run(): Promise<void>;
  /**
   * The same without waiting: the device gets to it after what was started before. What reads or writes its tensors
   * through the runtime comes after it, in order; what fails on the device is raised by the next wait.
   * @param what names the run in that error.
   */
  start(what: string): Promise<void>;
  /**
   * Ends the run under way between two operators; `run` then rejects with `run-cancelled`. The session can run again;
   * bound outputs hold anything. Nothing happens if no run is under way.
   */
  cancel(): void;
  /** Which operator runs where, after optimization. Needs `recordAssignments`. */
  nodeAssignments(): NodeAssignment[];
  /** Ends profiling and returns the path of the profile. Needs `profilePrefix`. */
  endProfiling(): string;
  /** Frees the session and lets its bound tensors go. @throws SessionError while a run is under way. */
  release(): void;
}

/** Gives a tensor's values when the device has got there. Asked again, it gives the same. */
export type Fetched = () => Promise<HostArray>;

export interface Runtime {
  readonly device: Required<DeviceChoice>;
  readonly versions: Readonly<{ runtime: string; build: string; foreignFunctions: string }>;
  availableDevices(): DeviceDescription[];
  /**
   * A new tensor of zeros.
   * @param place `host`: in this process's memory whatever the device, for inputs that kernels read there.
   */
  allocate(dtype: DType, shape: readonly number[], place?: 'device' | 'host'): DeviceTensor;
  /** A new tensor with a copy of `data`, whose bytes must be exactly the tensor's. */
  fromHost(dtype: DType, shape: readonly number[], data: ArrayBufferView): DeviceTensor;
  /**
   * A new tensor of zeros in a file of `folder`, on the CPU: the system moves its pages in and out of memory. Nobody else
   * sees the file, and it is gone with the tensor. @throws SessionError `disk-full`, `file-unmappable`.
   */
  inFile(folder: string, dtype: DType, shape: readonly number[]): DeviceTensor;
  /** Whether `part` is possible: memory of this device has addresses. */
  readonly addressable: boolean;
  /** A tensor over some of another's memory, from an element on. The whole stays alive as long as its part. */
  part(whole: DeviceTensor, from: number, shape: readonly number[]): DeviceTensor;
  mapFile(path: string): MappedFile;
  /** A tensor over a file's bytes, at any alignment: no copy on the CPU, an upload elsewhere. */
  mapped(file: MappedFile, offset: number, dtype: DType, shape: readonly number[]): DeviceTensor;
  /** Copies `data` into the tensor. @throws SessionError `tensor-busy` while a run uses it. */
  write(tensor: DeviceTensor, data: ArrayBufferView): void;
  /** Copies one tensor over another of the same type and size, on the device. */
  copy(from: DeviceTensor, to: DeviceTensor): void;
  /**
   * Begins to copy the tensor to the host, as it is after what was started so far; what it returns waits for it. Of several
   * that were begun, the first that is asked waits for all.
   */
  fetch(tensor: DeviceTensor): Fetched;
  /**
   * How often the host has waited for the device. On the CPU, where everything is over when a call returns: how often it
   * would have waited on a device with a queue.
   */
  readonly hostWaits: number;
  /** Whether `SessionOptions.capture` is wanted, and the device can. */
  readonly capturesGraphs: boolean;
  /** Copies the tensor to the host, into `into` where given, and waits for it. @throws SessionError `tensor-busy` while a run writes it. */
  read(tensor: DeviceTensor, into?: HostArray): HostArray;
  /**
   * The tensor's own memory, without a copy, where the device is the CPU and the tensor is writable. The memory stays
   * valid for as long as the view is reachable, even after `release`.
   */
  view(tensor: DeviceTensor): HostArray;
  createSession(model: Uint8Array, options?: SessionOptions): Promise<Session>;
  memory(): ArenaMemory;
  /** Cancels runs, waits for them, frees every session, tensor and mapping. */
  close(): Promise<void>;
}
