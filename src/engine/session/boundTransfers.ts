// Copies to and from a device by runs of an identity model: the one way that every provider supports. Every copy is a wait.
import { byteSize } from '../dtype';
import { BoundCopy } from './boundCopy';
import { hostValue } from './device';
import type { Environment } from './environment';
import { reserve } from './hostMemory';
import type { Pointer } from './ortApi';
import type { Place, Transfers } from './transfers';

export class BoundTransfers implements Transfers {
  readonly queued = false;
  private readonly copies: BoundCopy;

  constructor(
    private readonly environment: Environment,
    /** Adds the device to session options. */
    configure: (sessionOptions: Pointer) => void,
  ) {
    this.copies = new BoundCopy(environment, configure);
  }

  clear(place: Place): void {
    // Pages of zeros cost no memory here until they are written.
    const zeros = reserve(byteSize(place.dtype, place.shape));
    try {
      this.upload(place, zeros.address);
    } finally {
      zeros.free();
    }
  }

  upload(place: Place, from: ArrayBufferView | Pointer): void {
    this.withHost(place, from, (source) => this.copies.copy(place.dtype, source, place.value));
  }

  download(place: Place, to: ArrayBufferView | Pointer): void {
    this.withHost(place, to, (target) => this.copies.copy(place.dtype, place.value, target));
  }

  copy(from: Place, to: Place): void {
    if (from.bytes > 0) this.copies.copy(from.dtype, from.value, to.value);
  }

  fetch(place: Place, to: ArrayBufferView): void {
    this.download(place, to);
  }

  // Every run and every copy has been waited for.
  async wait(): Promise<void> {}

  waitNow(): void {}

  release(): void {
    this.copies.release();
  }

  private withHost(place: Place, bytes: ArrayBufferView | Pointer, use: (hostTensor: Pointer) => void): void {
    if (place.bytes === 0) return;
    const value = hostValue(this.environment, bytes, place.dtype, place.shape);
    try {
      use(value);
    } finally {
      this.environment.api.get('ReleaseValue', value);
    }
  }
}
