// Pinned host memory for copies under way, handed out one stretch after the other and taken back all at once, when the host has
// waited for the device. It copies nothing and knows no device.
import type { Pointer } from './ortApi';

/** Where a copy's bytes lie in pinned memory. */
export interface Stretch {
  address: Pointer;
}

interface Block {
  address: Pointer;
  bytes: number;
  used: number;
}

const blockBytes = 4 << 20;
/** All blocks together, unless one stretch alone is larger. */
const mostBytes = 64 << 20;
const alignment = 256;

export class PinnedStaging {
  private readonly blocks: Block[] = [];
  /** Stretches handed out so far. */
  private count = 0;

  constructor(
    private readonly memory: { make(bytes: number): Pointer; free(address: Pointer): void },
    private readonly most = mostBytes,
  ) {}

  /** A stretch; undefined where one more block would be too many. @param force for once, however many there are. */
  take(bytes: number, force = false): Stretch | undefined {
    const size = Math.ceil(bytes / alignment) * alignment;
    let block = this.blocks.find((each) => each.bytes - each.used >= size);
    if (!block) {
      const total = this.blocks.reduce((sum, each) => sum + each.bytes, 0);
      const room = Math.max(blockBytes, size);
      if (!force && total > 0 && total + room > this.most) return undefined;
      block = { address: this.memory.make(room), bytes: room, used: 0 };
      this.blocks.push(block);
    }
    const address = block.address + BigInt(block.used);
    block.used += size;
    this.count++;
    return { address };
  }

  /** A place in the sequence of stretches, for `free`. */
  mark(): number {
    return this.count;
  }

  /** Takes everything back, if no stretch was handed out since the mark; else nothing, until a later wait. */
  free(mark: number): void {
    if (this.count === mark) for (const block of this.blocks) block.used = 0;
  }

  release(): void {
    for (const { address } of this.blocks.splice(0)) this.memory.free(address);
  }
}
