// Causal self-attention as plain products and a softmax, for training and evaluation: what autodiff can go through.
//
// Query blocks: above `blockLength` positions the queries are cut into blocks, each multiplied with the keys it can see
// only. At 1,024 positions this saves a tenth of the time and a fifth of the activation memory of the CPU. On CUDA every block
// costs kernels, so that there blocks are as large as their scores' memory allows.
import type { GraphBuilder } from '../graph/builder';
import type { Keep, Value } from '../graph/graph';
import type { Precision } from '../graph/precision';
import type { AttentionCall, Forward } from './architecture';

/** A masked score: exp underflows to exactly zero, and sums with real scores stay finite. */
const masked = -1e30;
const blockLength = 256;
/** Most that the scores of one block take on CUDA, in fp32. Chosen, not measured on a GPU. */
const scoreBytes = 256 * 2 ** 20;

/** The attention layers of one graph. */
export interface AttentionLayers {
  /** [N, heads·Dh] → [N, heads·Dh]. */
  apply(f: Pick<Forward, 'positions'>, call: AttentionCall): Value;
}

/** What attention layers are built for. */
export interface AttentionShape {
  rows: number;
  length: number;
  /** int64 [B, S], the number of the packed example that a position belongs to; undefined without packing. */
  segments?: Value;
  /** Whose kernels run the graph; the CPU's by default. */
  device?: Precision['device'] | undefined;
}

/** Makes the attention of a training graph; evaluation and generation always see every earlier token. */
export type AttentionBuilder = (b: GraphBuilder, shape: AttentionShape) => AttentionLayers;

/** Every position sees all earlier ones. Caches and masks are made once and shared by all layers. */
export class TrainingAttention implements AttentionLayers {
  readonly #rotation: Rotation;
  readonly #products: CausalProducts;

  /** @param segments int64 [B, S], the number of the packed example that a position belongs to; undefined without packing. */
  constructor(
    private readonly b: GraphBuilder,
    private readonly rows: number,
    private readonly length: number,
    segments?: Value,
    device?: Precision['device'],
  ) {
    this.#rotation = new Rotation(b, rows, length);
    this.#products = new CausalProducts(b, rows, length, segments, device);
  }

  apply(f: Pick<Forward, 'positions'>, call: AttentionCall): Value {
    const { b, rows, length } = this;
    const { heads, keyValueHeads, headSize } = call;
    const group = heads / keyValueHeads;
    const query = this.#rotation.apply(f, call, call.query, heads);
    const key = this.#rotation.apply(f, call, call.key, keyValueHeads);
    const q = b.transpose(b.reshape(query, [rows, length, keyValueHeads, group, headSize]), [0, 2, 3, 1, 4]);
    const k = b.transpose(b.reshape(key, [rows, length, keyValueHeads, headSize]), [0, 2, 1, 3]);
    const v = b.transpose(b.reshape(call.value, [rows, length, keyValueHeads, headSize]), [0, 2, 1, 3]);
    const joined = this.#products.apply(q, k, v, call);
    const merged = b.keeping('cheap', () => b.transpose(joined, [0, 3, 1, 2, 4]));
    return b.reshape(merged, [rows * length, heads * headSize]);
  }
}

/** Rotary positions of queries and keys; caches are made once per graph. */
export class Rotation {
  readonly #caches = new Map<object, { cos: Value; sin: Value }>();

  constructor(
    private readonly b: GraphBuilder,
    private readonly rows: number,
    private readonly length: number,
  ) {}

  /** x [N, heads·Dh] or [B, S, heads·Dh], rotated; as it is where the model has no rotary positions. */
  apply(f: Pick<Forward, 'positions'>, call: AttentionCall, x: Value, heads: number): Value {
    if (!call.rotary) return x;
    const { b } = this;
    const caches = rotaryCaches(b, this.#caches, call, this.length);
    const open = b.reshape(x, [this.rows, this.length, heads * call.headSize]);
    return b.op('RotaryEmbedding', [open, f.positions, caches.cos, caches.sin], {
      num_heads: heads,
      interleaved: 0,
    });
  }
}

/** softmax(scale·q·kᵀ + mask)·v for sequences of one length, causal, in query blocks. */
export class CausalProducts {
  readonly #masks = new Map<string, Value>();

  /** @param segments int64 [B, S] or undefined, as above. */
  constructor(
    private readonly b: GraphBuilder,
    private readonly rows: number,
    private readonly length: number,
    private readonly segments?: Value,
    private readonly device: Precision['device'] = 'cpu',
  ) {}

  /** q [B, K, G, S, Dh], k and v [B, K, S, Dh], K key heads with G query heads each → [B, K, G, S, Dh]. */
  apply(q: Value, k: Value, v: Value, call: Pick<AttentionCall, 'scale' | 'window'>): Value {
    const { b, rows, length } = this;
    const [, keyValueHeads, group, , headSize] = q.shape as [number, number, number, number, number];
    const blocks = queryBlocks(length, rows * keyValueHeads * group, this.device);
    const queries = b.split(
      q,
      3,
      blocks.map((block) => block.end - block.start),
    );
    const outputs = blocks.map((block, i) => {
      const first = call.window === undefined ? 0 : Math.max(0, block.start - call.window + 1);
      const seen =
        first === 0 && block.end === length
          ? { k, v }
          : { k: b.slice(k, 2, first, block.end), v: b.slice(v, 2, first, block.end) };
      const count = block.end - block.start;
      const keys = block.end - first;
      const grouped = b.reshape(queries[i]!, [rows, keyValueHeads, group * count, headSize]);
      const scores = b.keeping('cheap', () => {
        const raw = b.product(grouped, seen.k, { transB: true, alpha: call.scale });
        const open = b.reshape(raw, [rows, keyValueHeads, group, count, keys]);
        return b.reshape(b.add(open, this.#mask(block, first, call.window)), [
          rows,
          keyValueHeads,
          group * count,
          keys,
        ]);
      });
      const [mixed] = b.apply('SoftmaxMatMul', [scores, seen.v], {}, { keep: keepProbabilitiesCheap });
      return b.reshape(mixed!, [rows, keyValueHeads, group, count, headSize]);
    });
    return b.concat(outputs, 3);
  }

  /** What is added to the scores of a query block: zero where a position may look, `masked` elsewhere. */
  #mask(block: Block, firstKey: number, window: number | undefined): Value {
    const key = `${block.start}:${block.end}:${firstKey}:${window ?? ''}`;
    let mask = this.#masks.get(key);
    if (!mask) {
      mask = this.b.keeping('always', () => this.#buildMask(block, firstKey, window));
      this.#masks.set(key, mask);
    }
    return mask;
  }

  #buildMask(block: Block, firstKey: number, window: number | undefined): Value {
    const { b } = this;
    const [count, keys] = [block.end - block.start, block.end - firstKey];
    const visible = new Uint8Array(count * keys);
    for (let q = 0; q < count; q++) {
      const position = block.start + q;
      const from = Math.max(firstKey, window === undefined ? 0 : position - window + 1);
      for (let k = from; k <= position; k++) visible[q * keys + k - firstKey] = 1;
    }
    if (!this.segments) {
      const added = new Float32Array(count * keys);
      for (let i = 0; i < added.length; i++) added[i] = visible[i] ? 0 : masked;
      return b.constant('float32', [count, keys], added, 'causal_mask');
    }
    const none: Record<string, never> = {};
    const causal = b.constant('bool', [1, 1, 1, count, keys], visible, 'causal');
    const mine = b.reshape(b.slice(this.segments, 1, block.start, block.end), [this.rows, 1, 1, count, 1]);
    const theirs = b.reshape(b.slice(this.segments, 1, firstKey, block.end), [this.rows, 1, 1, 1, keys]);
    const together = b.op('And', [b.op('Equal', [mine, theirs], none), causal], none);
    return b.op('Where', [together, b.scalar(0), b.scalar(masked)], none);
  }
}

/** The output is kept, the probabilities are cheap to make again. */
const keepProbabilitiesCheap: readonly Keep[] = ['product', 'cheap'];

export interface Block {
  start: number;
  end: number;
}

/** @param sequences rows times heads: each has its own scores. */
export function queryBlocks(length: number, sequences: number, device: Precision['device']): Block[] {
  const most = Math.max(1, Math.floor(length / blockLength));
  const needed = Math.ceil((4 * sequences * length * length) / scoreBytes);
  const count = device === 'cuda' ? Math.min(most, Math.max(1, needed)) : most;
  const size = Math.ceil(length / count);
  return Array.from({ length: count }, (_, i) => ({
    start: i * size,
    end: Math.min(length, (i + 1) * size),
  })).filter((block) => block.start < block.end);
}

/** The cos and sin caches of a rotary embedding as constants, made once per graph. */
export function rotaryCaches(
  b: GraphBuilder,
  known: Map<object, { cos: Value; sin: Value }>,
  call: AttentionCall,
  positions: number,
): { cos: Value; sin: Value } {
  const rotary = call.rotary!;
  let values = known.get(rotary);
  if (!values) {
    const { cos, sin } = rotary.caches(positions);
    const shape = [positions, call.headSize / 2];
    values = {
      cos: b.constant('float32', shape, cos, 'rotary_cos'),
      sin: b.constant('float32', shape, sin, 'rotary_sin'),
    };
    known.set(rotary, values);
  }
  return values;
}
