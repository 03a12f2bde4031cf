// A tensor on the device and the count of who still needs its memory: its owner, the sessions that bind it, the views
// of it. It frees when nobody is left, once.
import type { DType } from '../dtype';
import { byteSize, dtypes, elements } from '../dtype';
import { invariant, SessionError } from '../errors';
import type { DeviceTensor, HostArray } from './contract';
import { exposeBytes } from './hostMemory';
import type { Pointer } from './ortApi';

/** What a device made for a tensor. */
export interface Storage {
  /** The OrtValue. */
  value: Pointer;
  /** Where the bytes lie, if in this process's memory; else null. */
  address: Pointer | null;
  free(): void;
}

// The memory under a view must outlive the view: the tensor stays held until the engine has collected the buffer.
const views = new FinalizationRegistry<Tensor>((tensor) => tensor.letGo());

export class Tensor implements DeviceTensor {
  readonly bytes: number;
  private holders = 1;
  private givenUp = false;
  /** Runs under way that read it, and that write it. */
  private readers = 0;
  private writers = 0;
  private exposed: WeakRef<ArrayBuffer> | undefined;

  constructor(
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly writable: boolean,
    private readonly storage: Storage,
    private readonly onFreed: (tensor: Tensor) => void,
  ) {
    this.bytes = byteSize(dtype, shape);
  }

  get released(): boolean {
    return this.givenUp;
  }

  get value(): Pointer {
    invariant(this.holders > 0, 'a freed tensor has no value');
    return this.storage.value;
  }

  get address(): Pointer | null {
    return this.storage.address;
  }

  /** @throws SessionError `released` after `release`. */
  assertUsable(): void {
    if (!this.givenUp) return;
    throw new SessionError({
      code: 'released',
      message: `The tensor ${describe(this.dtype, this.shape)} was used after its release.`,
      remedy: 'Release a tensor only when nothing needs it any more.',
    });
  }

  /** @throws SessionError `tensor-busy` while a run under way would race with the access. */
  assertIdle(access: 'read' | 'write'): void {
    if (this.writers === 0 && (access === 'read' || this.readers === 0)) return;
    throw new SessionError({
      code: 'tensor-busy',
      message: `The tensor ${describe(this.dtype, this.shape)} cannot be ${access === 'read' ? 'read' : 'written'} while a run uses it.`,
      remedy: 'Await the run first.',
    });
  }

  beginRun(access: 'read' | 'write'): void {
    this.assertIdle(access);
    if (access === 'read') this.readers++;
    else this.writers++;
  }

  endRun(access: 'read' | 'write'): void {
    if (access === 'read') this.readers--;
    else this.writers--;
  }

  hold(): void {
    this.assertUsable();
    this.holders++;
  }

  letGo(): void {
    this.holders--;
    if (this.holders > 0) return;
    this.storage.free();
    this.onFreed(this);
  }

  release(): void {
    this.assertUsable();
    this.givenUp = true;
    this.letGo();
  }

  /** The memory as a typed array, where it is this process's. */
  view(): HostArray {
    const { address } = this.storage;
    invariant(address !== null, 'only memory of this process has a view');
    let buffer = this.exposed?.deref();
    if (!buffer) {
      buffer = exposeBytes(address, this.bytes);
      this.hold();
      views.register(buffer, this);
      this.exposed = new WeakRef(buffer);
    }
    return hostArray(this.dtype, buffer, elements(this.shape));
  }
}

export function hostArray(dtype: DType, buffer: ArrayBuffer, length: number): HostArray {
  switch (dtype) {
    case 'float32':
      return new Float32Array(buffer, 0, length);
    case 'float64':
      return new Float64Array(buffer, 0, length);
    case 'float16':
    case 'bfloat16':
      return new Uint16Array(buffer, 0, length);
    case 'int64':
      return new BigInt64Array(buffer, 0, length);
    case 'int32':
      return new Int32Array(buffer, 0, length);
    case 'int8':
      return new Int8Array(buffer, 0, length);
    case 'uint8':
    case 'bool':
      return new Uint8Array(buffer, 0, length);
  }
}

/** @throws SessionError `shape-invalid` unless every dimension is a natural number and the size is countable. */
export function assertShape(dtype: DType, shape: readonly number[]): void {
  const natural = shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0);
  if (natural && dtypes[dtype] !== undefined && Number.isSafeInteger(byteSize(dtype, shape))) return;
  throw new SessionError({
    code: 'shape-invalid',
    message: `${describe(dtype, shape)} is not the shape of a tensor.`,
    remedy: 'Give natural numbers whose product is below 2^53 bytes.',
  });
}

export function describe(dtype: string, shape: readonly (number | string | null)[]): string {
  return `${dtype}[${shape.map((dim) => dim ?? '?').join(', ')}]`;
}
