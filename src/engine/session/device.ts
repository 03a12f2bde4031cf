// What a runtime asks of a device, and the CPU's answers: tensors lie in pages of our own or in mapped files.
import type { DType } from '../dtype';
import { byteSize, dtypes } from '../dtype';
import type { DeviceKind } from './contract';
import type { ArenaStats, Environment } from './environment';
import type { Block } from './hostMemory';
import { reserve } from './hostMemory';
import type { Pointer } from './ortApi';
import type { Storage, Tensor } from './tensor';
import type { Transfers } from './transfers';

export interface Device {
  readonly kind: DeviceKind;
  readonly index: number;
  /** Whether tensors lie in this process's memory. */
  readonly isHost: boolean;
  /** Adds the device to a session's options. */
  configure(sessionOptions: Pointer): void;
  /** Whether a part of a tensor's memory can be a tensor. */
  readonly addressable: boolean;
  /** Memory for a tensor: of zeros if `cleared`, else of anything. */
  allocate(dtype: DType, shape: readonly number[], cleared: boolean): Storage;
  /** The memory of a tensor from a byte on, which its owner keeps alive. */
  part(whole: Tensor, offset: number, dtype: DType, shape: readonly number[]): Storage;
  /** Undefined where tensors lie in this process's memory. */
  readonly transfers: Transfers | undefined;
  arenaStats(): ArenaStats;
  release(): void;
}

export class CpuDevice implements Device {
  readonly kind = 'cpu';
  readonly index = 0;
  readonly isHost = true;
  readonly addressable = true;
  readonly transfers = undefined;

  constructor(private readonly environment: Environment) {}

  part(whole: Tensor, offset: number, dtype: DType, shape: readonly number[]): Storage {
    return partOf(this.environment, this.environment.hostMemoryInfo, whole, offset, dtype, shape);
  }

  configure(sessionOptions: Pointer): void {
    this.environment.shareArena(sessionOptions);
  }

  allocate(dtype: DType, shape: readonly number[]): Storage {
    return storageOver(this.environment, reserve(byteSize(dtype, shape)), dtype, shape);
  }

  arenaStats(): ArenaStats {
    return this.environment.arenaStats();
  }

  release(): void {}
}

/** A tensor's storage over memory of this process; frees the block with the tensor. */
export function storageOver(
  environment: Environment,
  block: Block,
  dtype: DType,
  shape: readonly number[],
): Storage {
  const { api } = environment;
  let value: Pointer;
  try {
    value = hostValue(environment, block.address, dtype, shape);
  } catch (error) {
    block.free();
    throw error;
  }
  return {
    value,
    address: block.address,
    free: () => {
      api.get('ReleaseValue', value);
      block.free();
    },
  };
}

/** A tensor's storage inside another's, in memory that `info` describes. */
export function partOf(
  { api }: Environment,
  info: Pointer,
  whole: Tensor,
  offset: number,
  dtype: DType,
  shape: readonly number[],
): Storage {
  const address = (api.make('GetTensorMutableData', whole.value) as bigint) + BigInt(offset);
  const size = byteSize(dtype, shape);
  const type = dtypes[dtype].onnx;
  const args = [info, address, size, dimensions(shape), shape.length, type];
  const value = api.make('CreateTensorWithDataAsOrtValue', ...args);
  return {
    value,
    address: whole.address === null ? null : address,
    free: () => void api.get('ReleaseValue', value),
  };
}

/** An OrtValue over bytes of this process that it does not own. */
export function hostValue(
  environment: Environment,
  bytes: Pointer | ArrayBufferView,
  dtype: DType,
  shape: readonly number[],
): Pointer {
  const size = byteSize(dtype, shape);
  const args = [environment.hostMemoryInfo, bytes, size, dimensions(shape), shape.length, dtypes[dtype].onnx];
  return environment.api.make('CreateTensorWithDataAsOrtValue', ...args);
}

/** A shape as C's int64_t array; one spare element, because an empty array has no address. */
export function dimensions(shape: readonly number[]): BigInt64Array {
  return BigInt64Array.from([...shape.map(BigInt), 0n]);
}
