// In: lengths of sequences. Out: packs of them that fit a maximum length, as few as best fit gives. Knows nothing of tokens.

/**
 * Best-fit decreasing, as TRL's "bfd": longest first, each into the fullest pack that still has room. `order` gives the
 * indices in the order that settles ties; the result is a pure function of lengths, order and capacity.
 * O(n log capacity): a tree over the room left finds the pack.
 */
export function packSequences(
  lengths: ArrayLike<number>,
  order: ArrayLike<number>,
  capacity: number,
): number[][] {
  const sorted = byLengthDescending(lengths, order, capacity);
  const packs: number[][] = [];
  const withRoom: number[][] = Array.from({ length: capacity + 1 }, () => []);
  const tree = new RoomTree(capacity);
  for (const index of sorted) {
    const length = lengths[index]!;
    const room = tree.atLeast(length);
    let pack: number;
    if (room === -1) {
      pack = packs.length;
      packs.push([index]);
      tree.change(capacity - length, 1);
      withRoom[capacity - length]!.push(pack);
      continue;
    }
    pack = withRoom[room]!.pop()!;
    tree.change(room, -1);
    packs[pack]!.push(index);
    tree.change(room - length, 1);
    withRoom[room - length]!.push(pack);
  }
  return packs;
}

/** Counting sort: stable in `order`. */
function byLengthDescending(
  lengths: ArrayLike<number>,
  order: ArrayLike<number>,
  capacity: number,
): number[] {
  const buckets: number[][] = Array.from({ length: capacity + 1 }, () => []);
  for (let i = 0; i < order.length; i++) buckets[lengths[order[i]!]!]!.push(order[i]!);
  return buckets.reverse().flat();
}

/** Counts packs by the room they have left; answers "the least room that is at least x" in O(log capacity). */
class RoomTree {
  private readonly size: number;
  private readonly counts: Int32Array;

  constructor(capacity: number) {
    this.size = 2 ** Math.ceil(Math.log2(capacity + 1));
    this.counts = new Int32Array(2 * this.size);
  }

  change(room: number, by: number): void {
    for (let node = room + this.size; node >= 1; node >>= 1) this.counts[node]! += by;
  }

  /** The smallest room ≥ `least` that some pack has, or -1. A room of 0 takes nothing. */
  atLeast(least: number): number {
    if (least >= this.size) return -1;
    let node = Math.max(1, least) + this.size;
    if (this.counts[node]! > 0) return node - this.size;
    // Up until a right neighbour holds something, then down to its leftmost leaf.
    while (node > 1 && (node % 2 === 1 || this.counts[node + 1] === 0)) node >>= 1;
    if (node <= 1) return -1;
    node++;
    while (node < this.size) node = this.counts[2 * node]! > 0 ? 2 * node : 2 * node + 1;
    return node - this.size;
  }
}
