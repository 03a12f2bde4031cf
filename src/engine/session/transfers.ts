// How bytes reach a device beside the CPU and come back, and how the host learns that the device is done. Two ways: one queue
// that the host need not follow (CUDA), or a run of its own for every copy, each a wait (everything else).
import type { DType } from '../dtype';
import type { GraphQueue } from './capture';
import type { Pointer } from './ortApi';

/** What is copied: an OrtValue with its type and shape. */
export interface Place {
  readonly value: Pointer;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly bytes: number;
}

export interface Transfers extends Partial<GraphQueue> {
  /** Whether runs and copies stand in one queue, so that nothing but `wait` and `download` waits. */
  readonly queued: boolean;
  /** Fills the memory with zeros. */
  clear(place: Place): void;
  /** `from` may be used for something else when it returns. */
  upload(place: Place, from: ArrayBufferView | Pointer): void;
  /** Waits. */
  download(place: Place, to: ArrayBufferView | Pointer): void;
  copy(from: Place, to: Place): void;
  /** Begins to bring the bytes to the host. After a wait that began later they are in `to`; without a queue, at once. */
  fetch(place: Place, to: ArrayBufferView): void;
  /** Until everything that was begun is done, off the event loop. @throws SessionError what failed meanwhile. */
  wait(): Promise<void>;
  /** The same, on it. */
  waitNow(): void;
  release(): void;
}
