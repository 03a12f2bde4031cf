// LongLoRA's shifted sparse attention (Chen et al., arXiv 2309.12307), for training alone. Positions are cut into blocks of g:
// the first half of the heads at 0, g, 2g, …; the second half at 0, g/2, 3g/2, …, so that information passes between blocks.
// Attention is causal within a block and nothing wraps round: the reference's fast path. Products are those of the blocks
// only, so that time and memory grow with S·g instead of S². A last block that is not full is a block all the same.
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { AttentionCall, Forward } from './architecture';
import { type AttentionLayers, type AttentionShape, CausalProducts, Rotation } from './attention';

/** Neighbouring blocks of one length. */
interface Run {
  start: number;
  count: number;
  size: number;
}

/** Heads that share their blocks, and how many query heads each of their key heads serves. */
interface Half {
  first: number;
  end: number;
  runs: readonly Run[];
}

export class ShiftedAttention implements AttentionLayers {
  readonly #rotation: Rotation;
  readonly #products = new Map<string, CausalProducts>();

  /** @param groupSize g, even: positions of a block. */
  constructor(
    private readonly b: GraphBuilder,
    private readonly shape: AttentionShape,
    private readonly groupSize: number,
  ) {
    this.#rotation = new Rotation(b, shape.rows, shape.length);
  }

  apply(f: Pick<Forward, 'positions'>, call: AttentionCall): Value {
    const { b, groupSize } = this;
    const { rows, length } = this.shape;
    const { heads, keyValueHeads, headSize } = call;
    // Positions are the original ones: the rotation comes before the cut.
    const query = this.#rotation.apply(f, call, call.query, heads);
    const key = this.#rotation.apply(f, call, call.key, keyValueHeads);
    const [q, k, v] = [query, key, call.value].map((x, i) =>
      b.reshape(x, [rows, length, i === 0 ? heads : keyValueHeads, headSize]),
    ) as [Value, Value, Value];
    const middle = Math.floor(heads / 2);
    const halves: Half[] = [
      { first: 0, end: middle, runs: blockRuns(length, groupSize, 0) },
      { first: middle, end: heads, runs: blockRuns(length, groupSize, groupSize / 2) },
    ];
    const outputs = halves
      .filter(({ first, end }) => end > first)
      .map((half) => this.#half(call, half, q, k, v));
    return b.reshape(b.concat(outputs, 2), [rows * length, heads * headSize]);
  }

  /** The heads of one half: [B, S, heads of it, Dh]. */
  #half(call: AttentionCall, { first, end, runs }: Half, q: Value, k: Value, v: Value): Value {
    const { b } = this;
    const group = call.heads / call.keyValueHeads;
    // A key head that serves both halves, or one half unevenly, is repeated for each of its query heads.
    const whole = first % group === 0 && end % group === 0;
    const within = Math.floor(first / group) === Math.floor((end - 1) / group);
    const keyHeads = whole ? (end - first) / group : within ? 1 : end - first;
    const theirs = (x: Value): Value => {
      if (whole || within) {
        const from = Math.floor(first / group);
        return b.slice(x, 2, from, from + keyHeads);
      }
      const of = Array.from({ length: end - first }, (_, i) => Math.floor((first + i) / group));
      return b.concat(
        of.map((head) => b.slice(x, 2, head, head + 1)),
        2,
      );
    };
    const [queries, keys, values] = [b.slice(q, 2, first, end), theirs(k), theirs(v)];
    const parts = runs.map((run) => this.#run(call, run, keyHeads, queries, keys, values));
    return b.concat(parts, 1);
  }

  /** Blocks of one length, each a sequence of its own: [B, count·size, heads, Dh]. */
  #run(call: AttentionCall, run: Run, keyHeads: number, q: Value, k: Value, v: Value): Value {
    const { b } = this;
    const { rows } = this.shape;
    const { start, count, size } = run;
    const { headSize } = call;
    const heads = q.shape[2]!;
    const cut = (x: Value): Value => b.slice(x, 1, start, start + count * size);
    const sequences = rows * count;
    const group = heads / keyHeads;
    const open = b.transpose(
      b.reshape(cut(q), [sequences, size, keyHeads, group, headSize]),
      [0, 2, 3, 1, 4],
    );
    const [kBlocks, vBlocks] = [k, v].map((x) =>
      b.transpose(b.reshape(cut(x), [sequences, size, keyHeads, headSize]), [0, 2, 1, 3]),
    ) as [Value, Value];
    const mixed = this.#productsOf(run).apply(open, kBlocks, vBlocks, call);
    const back = b.keeping('cheap', () => b.transpose(mixed, [0, 3, 1, 2, 4]));
    return b.reshape(back, [rows, count * size, heads, headSize]);
  }

  #productsOf(run: Run): CausalProducts {
    const { b } = this;
    const { rows, segments } = this.shape;
    const { start, count, size } = run;
    // Without packing, masks depend on the length alone.
    const key = segments ? `${start}:${count}:${size}` : `${count}:${size}`;
    let products = this.#products.get(key);
    if (!products) {
      const theirs = segments
        ? b.keeping('always', () =>
            b.reshape(b.slice(segments, 1, start, start + count * size), [rows * count, size]),
          )
        : undefined;
      products = new CausalProducts(b, rows * count, size, theirs, this.shape.device);
      this.#products.set(key, products);
    }
    return products;
  }
}

/** The blocks of `length` positions whose first boundary after 0 is `shift` (0: none before g), as runs of equal ones. */
export function blockRuns(length: number, groupSize: number, shift: number): Run[] {
  const runs: Run[] = [];
  const add = (start: number, count: number, size: number): void => {
    if (count > 0 && size > 0) runs.push({ start, count, size });
  };
  const head = Math.min(shift, length);
  add(0, 1, head);
  const count = Math.floor((length - head) / groupSize);
  add(head, count, groupSize);
  const done = head + count * groupSize;
  add(done, 1, length - done);
  return runs;
}
