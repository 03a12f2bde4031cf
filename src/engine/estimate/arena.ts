// ONNX Runtime's arena, imitated: which sizes it really hands out (BFCArena with kSameAsRequested, core/framework/bfc_arena.cc).
// A request takes the smallest free chunk that holds it; a chunk is split only when at least half of it would be left over,
// so that up to half of what is in use may be waste.

interface Chunk {
  bytes: number;
  used: boolean;
  /** Neighbours within one region; regions never join. */
  previous: Chunk | undefined;
  next: Chunk | undefined;
  serial: number;
}

const blockBytes = 256;
/** A larger rest is split off whatever its share. */
const largestRest = 128 * 2 ** 20;

export class Arena {
  /** Bytes in use, waste included. */
  inUseBytes = 0;
  peakBytes = 0;
  /** Bytes held from the system. */
  reservedBytes = 0;
  readonly #free = new Set<Chunk>();
  #serial = 0;

  allocate(bytes: number): Chunk {
    const wanted = Math.ceil(Math.max(bytes, 1) / blockBytes) * blockBytes;
    let chunk: Chunk | undefined;
    for (const candidate of this.#free) {
      if (candidate.bytes < wanted) continue;
      if (
        !chunk ||
        candidate.bytes < chunk.bytes ||
        (candidate.bytes === chunk.bytes && candidate.serial < chunk.serial)
      )
        chunk = candidate;
    }
    if (chunk) this.#free.delete(chunk);
    else {
      chunk = this.#chunk(wanted);
      this.reservedBytes += wanted;
    }
    const rest = chunk.bytes - wanted;
    if (rest >= wanted || rest >= largestRest) {
      const remainder = this.#chunk(rest);
      remainder.previous = chunk;
      remainder.next = chunk.next;
      if (chunk.next) chunk.next.previous = remainder;
      chunk.next = remainder;
      chunk.bytes = wanted;
      if (rest > 0) this.#free.add(remainder);
    }
    chunk.used = true;
    this.inUseBytes += chunk.bytes;
    this.peakBytes = Math.max(this.peakBytes, this.inUseBytes);
    return chunk;
  }

  release(chunk: Chunk): void {
    chunk.used = false;
    this.inUseBytes -= chunk.bytes;
    if (chunk.next && !chunk.next.used) this.#absorb(chunk, chunk.next);
    const { previous } = chunk;
    if (previous && !previous.used) {
      this.#absorb(previous, chunk);
      this.#free.add(previous);
    } else this.#free.add(chunk);
  }

  #absorb(chunk: Chunk, next: Chunk): void {
    this.#free.delete(next);
    chunk.bytes += next.bytes;
    chunk.next = next.next;
    if (next.next) next.next.previous = chunk;
  }

  #chunk(bytes: number): Chunk {
    return { bytes, used: false, previous: undefined, next: undefined, serial: this.#serial++ };
  }
}
