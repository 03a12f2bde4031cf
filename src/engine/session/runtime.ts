// Opens the runtime on one device and makes its tensors, mappings and sessions. It owns everything it hands out and
// frees what is left when it closes.
import { basename } from 'node:path';
import koffi from 'koffi';
import type { DType } from '../dtype';
import { byteSize, elements } from '../dtype';
import { invariant, SessionError } from '../errors';
import { Accelerator } from './accelerator';
import { availableDevices } from './availableDevices';
import type {
  ArenaMemory,
  DeviceDescription,
  DeviceTensor,
  Fetched,
  HostArray,
  MappedFile,
  Runtime,
  RuntimeOptions,
  Session,
  SessionOptions,
} from './contract';
import type { Device } from './device';
import { CpuDevice, storageOver } from './device';
import { Environment } from './environment';
import { copyBytes, reserve, reserveInFile } from './hostMemory';
import { loadLibrary, type RuntimeFiles, runtimeFiles } from './library';
import { Mapping } from './mapping';
import type { Pointer } from './ortApi';
import { OrtApi } from './ortApi';
import { Pace } from './pace';
import { provider } from './providers';
import { OrtSession } from './session';
import { withSessionOptions } from './sessionConfiguration';
import type { Storage } from './tensor';
import { assertShape, describe, hostArray, Tensor } from './tensor';

// The environment is one per process: a second one would silently share the first one's threads.
let open: OrtRuntime | undefined;
let api: OrtApi | undefined;
// As is the library: what is installed later is found by the next process.
let files: RuntimeFiles | undefined;

/**
 * Opens the runtime on a device. One may be open in a process at a time.
 * @throws SessionError `runtime-missing`, `platform-unsupported`, `runtime-unloadable`, `runtime-version`,
 *   `device-unavailable`, `runtime-open`.
 */
export function openRuntime(options: RuntimeOptions): Runtime {
  if (open) {
    throw new SessionError({
      code: 'runtime-open',
      message: 'A runtime is open in this process already.',
      remedy: 'Close it first, or use it for both purposes.',
    });
  }
  files ??= runtimeFiles();
  const { library } = files;
  api ??= OrtApi.from(() => loadLibrary(library));
  const environment = new Environment(api, options);
  try {
    const device =
      options.device.kind === 'cpu'
        ? new CpuDevice(environment)
        : new Accelerator(environment, provider(environment, options, files));
    const fallbackDisabled = options.disableCpuFallback ?? device.kind === 'cuda';
    open = new OrtRuntime(environment, device, files, fallbackDisabled, options.graphs === true);
    return open;
  } catch (error) {
    environment.release();
    throw error;
  }
}

class OrtRuntime implements Runtime {
  readonly device: Runtime['device'];
  readonly versions: Runtime['versions'];
  private readonly tensors = new Set<Tensor>();
  /** Tensors over a file's or another tensor's memory. */
  private readonly elsewhere = new WeakSet<Tensor>();
  private readonly mappings = new Set<Mapping>();
  private readonly sessions = new Set<OrtSession>();
  private opening: Promise<unknown> = Promise.resolve();
  private closed = false;
  private readonly pace: Pace;

  constructor(
    private readonly environment: Environment,
    private readonly backend: Device,
    private readonly files: RuntimeFiles,
    private readonly fallbackDisabled: boolean,
    private readonly graphsWanted: boolean,
  ) {
    this.pace = new Pace(backend.transfers);
    this.device = { kind: backend.kind, index: backend.index };
    this.versions = {
      runtime: environment.api.version,
      build: String(environment.api.get('GetBuildInfoString')),
      foreignFunctions: koffi.version,
    };
  }

  availableDevices(): DeviceDescription[] {
    this.assertOpen();
    return availableDevices(this.environment, this.files.cuda !== undefined);
  }

  allocate(dtype: DType, shape: readonly number[], place: 'device' | 'host' = 'device'): DeviceTensor {
    this.assertOpen();
    assertShape(dtype, shape);
    if (place === 'host' && !this.backend.isHost) {
      const bytes = byteSize(dtype, shape);
      return this.adopt(
        dtype,
        shape,
        true,
        storageOver(this.environment, reserve(bytes), dtype, shape),
        bytes,
      );
    }
    return this.adopt(dtype, shape, true, this.backend.allocate(dtype, shape, true));
  }

  fromHost(dtype: DType, shape: readonly number[], data: ArrayBufferView): DeviceTensor {
    assertShape(dtype, shape);
    assertBytes(dtype, shape, data.byteLength);
    this.assertOpen();
    const tensor = this.adopt(dtype, shape, true, this.backend.allocate(dtype, shape, false));
    this.write(tensor, data);
    return tensor;
  }

  inFile(folder: string, dtype: DType, shape: readonly number[]): DeviceTensor {
    this.assertOpen();
    assertShape(dtype, shape);
    invariant(this.backend.isHost, 'tensors in files are for the CPU');
    const block = reserveInFile(folder, byteSize(dtype, shape));
    return this.adopt(dtype, shape, true, storageOver(this.environment, block, dtype, shape), block.bytes);
  }

  get addressable(): boolean {
    return this.backend.addressable;
  }

  part(whole: DeviceTensor, from: number, shape: readonly number[]): DeviceTensor {
    const own = this.own(whole);
    const { dtype } = own;
    assertShape(dtype, shape);
    const inside = Number.isSafeInteger(from) && from >= 0 && from + elements(shape) <= elements(own.shape);
    invariant(this.backend.addressable && own.writable && inside, 'a part lies inside its whole');
    const storage = this.backend.part(own, byteSize(dtype, [from]), dtype, shape);
    own.hold();
    const free = (): void => {
      storage.free();
      own.letGo();
    };
    return this.adopt(dtype, shape, true, { ...storage, free }, byteSize(dtype, shape));
  }

  mapFile(path: string): MappedFile {
    this.assertOpen();
    const mapping = new Mapping(path, (gone) => this.mappings.delete(gone));
    this.mappings.add(mapping);
    return mapping;
  }

  mapped(file: MappedFile, offset: number, dtype: DType, shape: readonly number[]): DeviceTensor {
    this.assertOpen();
    assertShape(dtype, shape);
    invariant(file instanceof Mapping && this.mappings.has(file), 'a mapped file belongs to its runtime');
    const address = file.addressOf(offset, byteSize(dtype, shape), basename(file.path));
    if (!this.backend.isHost) {
      const tensor = this.adopt(dtype, shape, true, this.backend.allocate(dtype, shape, false));
      this.upload(tensor, address);
      return tensor;
    }
    file.hold();
    const block = { address, bytes: byteSize(dtype, shape), free: () => file.letGo() };
    return this.adopt(dtype, shape, false, storageOver(this.environment, block, dtype, shape));
  }

  write(tensor: DeviceTensor, data: ArrayBufferView): void {
    const own = this.own(tensor);
    own.assertIdle('write');
    assertBytes(own.dtype, own.shape, data.byteLength);
    if (!own.writable) {
      throw new SessionError({
        code: 'tensor-read-only',
        message: `The tensor ${describe(own.dtype, own.shape)} is a mapped file and cannot be written.`,
        remedy: 'Write to a tensor made by allocate.',
      });
    }
    this.upload(own, data);
  }

  copy(from: DeviceTensor, to: DeviceTensor): void {
    const [source, target] = [this.own(from), this.own(to)];
    source.assertIdle('read');
    target.assertIdle('write');
    assertBytes(target.dtype, target.shape, source.bytes);
    invariant(source.dtype === target.dtype && target.writable, 'a copy has the type of the original');
    // In this process's memory what is to come must have come.
    if (target.address !== null && source.address === null) this.download(source, target.address);
    else if (source.address !== null) this.upload(target, source.address);
    else {
      this.backend.transfers!.copy(source, target);
      this.pace.start();
    }
  }

  fetch(tensor: DeviceTensor): Fetched {
    const own = this.own(tensor);
    own.assertIdle('read');
    const target = hostArray(own.dtype, new ArrayBuffer(own.bytes), elements(own.shape));
    if (own.address !== null) copyBytes(target, own.address, own.bytes);
    else this.backend.transfers!.fetch(own, target);
    const number = this.pace.start();
    return async () => {
      await this.pace.reach(number);
      return target;
    };
  }

  get capturesGraphs(): boolean {
    return this.graphsWanted && this.pace.graphs !== undefined;
  }

  get hostWaits(): number {
    return this.pace.waits;
  }

  read(tensor: DeviceTensor, into?: HostArray): HostArray {
    const own = this.own(tensor);
    own.assertIdle('read');
    const target = into ?? hostArray(own.dtype, new ArrayBuffer(own.bytes), elements(own.shape));
    assertBytes(own.dtype, own.shape, target.byteLength);
    this.download(own, target);
    return target;
  }

  view(tensor: DeviceTensor): HostArray {
    const own = this.own(tensor);
    if (this.backend.isHost && own.writable) return own.view();
    throw new SessionError({
      code: 'view-unavailable',
      message: `The tensor ${describe(own.dtype, own.shape)} lies ${own.writable ? `on ${this.device.kind}` : 'in a read-only file'} and has no view.`,
      remedy: 'Copy it with read.',
    });
  }

  async createSession(model: Uint8Array, options: SessionOptions = {}): Promise<Session> {
    this.assertOpen();
    const { api, pointer } = this.environment;
    const create = async (sessionOptions: Pointer): Promise<Pointer> => {
      const out: [Pointer | null] = [null];
      await api.callAsync('CreateSessionFromArray', pointer, model, model.byteLength, sessionOptions, out);
      return out[0] as Pointer;
    };
    const creation = withSessionOptions(
      this.environment,
      this.backend,
      options,
      this.fallbackDisabled,
      create,
    ).catch((error: unknown) => {
      throw error instanceof SessionError && error.code === 'runtime-failed' ? rejected(error) : error;
    });
    this.opening = Promise.allSettled([this.opening, creation]);
    const native = await creation;
    // Its constants lie in the arena.
    this.pace.allocations++;
    const session = new OrtSession(this.environment, native, {
      recordsAssignments: options.recordAssignments === true,
      profiles: options.profilePrefix !== undefined,
      captures: options.capture === true && this.capturesGraphs,
      own: (tensor) => this.own(tensor),
      pace: this.pace,
      onReleased: (gone) => this.sessions.delete(gone),
    });
    if (this.closed) {
      session.release();
      this.assertOpen();
    }
    this.sessions.add(session);
    return session;
  }

  memory(): ArenaMemory {
    this.assertOpen();
    const arena = this.backend.arenaStats();
    let tensorBytes = 0;
    for (const tensor of this.tensors)
      if (tensor.writable && !this.elsewhere.has(tensor)) tensorBytes += tensor.bytes;
    let mappedBytes = 0;
    for (const mapping of this.mappings) mappedBytes += mapping.bytes;
    return {
      inUseBytes: arena.inUse,
      peakBytes: arena.peak,
      reservedBytes: arena.reserved,
      tensorBytes,
      mappedBytes,
    };
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    await this.opening;
    for (const session of this.sessions) session.cancel();
    for (const session of [...this.sessions]) {
      await session.idle;
      session.release();
    }
    for (const tensor of [...this.tensors]) if (!tensor.released) tensor.release();
    for (const mapping of [...this.mappings]) if (!mapping.released) mapping.release();
    this.backend.release();
    this.environment.release();
    open = undefined;
  }

  private upload(tensor: Tensor, from: ArrayBufferView | Pointer): void {
    // Memory of this process needs no device.
    if (tensor.address !== null) copyBytes(tensor.address, from, tensor.bytes);
    else {
      this.backend.transfers!.upload(tensor, from);
      this.pace.start();
    }
  }

  private download(tensor: Tensor, to: ArrayBufferView | Pointer): void {
    this.pace.fetchNow(() => {
      if (tensor.address !== null) copyBytes(to, tensor.address, tensor.bytes);
      else this.backend.transfers!.download(tensor, to);
    });
  }

  private adopt(
    dtype: DType,
    shape: readonly number[],
    writable: boolean,
    storage: Storage,
    /** Bytes that are none of the device's own: a file's, or another tensor's. */
    borrowed = 0,
  ): Tensor {
    const tensor = new Tensor(dtype, [...shape], writable, storage, (gone) => this.tensors.delete(gone));
    this.tensors.add(tensor);
    if (borrowed === 0) this.pace.allocations++;
    if (borrowed > 0) this.elsewhere.add(tensor);
    return tensor;
  }

  private own(tensor: DeviceTensor): Tensor {
    this.assertOpen();
    invariant(tensor instanceof Tensor, 'tensors come from allocate, fromHost or mapped');
    tensor.assertUsable();
    invariant(this.tensors.has(tensor), 'a tensor belongs to its runtime');
    return tensor;
  }

  private assertOpen(): void {
    if (!this.closed) return;
    throw new SessionError({
      code: 'released',
      message: 'The runtime was used after it was closed.',
      remedy: 'Open another with openRuntime.',
    });
  }
}

function assertBytes(dtype: DType, shape: readonly number[], found: number): void {
  if (byteSize(dtype, shape) === found) return;
  throw new SessionError({
    code: 'size-mismatch',
    message: `The tensor ${describe(dtype, shape)} has ${byteSize(dtype, shape)} bytes; the data has ${found}.`,
    remedy: 'Give data of exactly the tensor’s size.',
  });
}

function rejected(error: SessionError): SessionError {
  return new SessionError({
    code: 'model-rejected',
    message: `The compiled model was refused. ${error.message}`,
    remedy: error.remedy,
    facts: error.facts,
    cause: error,
  });
}
