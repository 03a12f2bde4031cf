// Causal self-attention as plain products and a softmax, for training and evaluation: what autodiff can go through.
//
// The queries are cut into blocks, each multiplied with the keys it can see only (graph/causalBlocks.ts). On CUDA in 16 bits one
// fused operator attends forward, and the blocks are made on the way back alone.
import type { GraphBuilder } from '../graph/builder';
import { type Block, causalMask, masked, queryBlocks, visibleKeys } from '../graph/causalBlocks';
import { float, type Keep, type Value } from '../graph/graph';
import type { Precision } from '../graph/precision';
import type { AttentionCall, Forward } from './architecture';

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
  /** Whether the device has one operator for causal attention in the type that the graph computes in; not so by default. */
  fused?: boolean | undefined;
}

/** Makes the attention of a training graph; evaluation and generation always see every earlier token. */
export type AttentionBuilder = (b: GraphBuilder, shape: AttentionShape) => AttentionLayers;

/** Every position sees all earlier ones. Caches and masks are made once and shared by all layers. */
export class TrainingAttention implements AttentionLayers {
  readonly #rotation: Rotation;
  readonly #products: CausalProducts;

  constructor(
    private readonly b: GraphBuilder,
    private readonly shape: AttentionShape,
  ) {
    const { rows, length, segments, device } = shape;
    this.#rotation = new Rotation(b, rows, length);
    this.#products = new CausalProducts(b, rows, length, segments, device);
  }

  apply(f: Pick<Forward, 'positions'>, call: AttentionCall): Value {
    const { b } = this;
    const { rows, length } = this.shape;
    const { heads, keyValueHeads, headSize } = call;
    const group = heads / keyValueHeads;
    const query = this.#rotation.apply(f, call, call.query, heads);
    const key = this.#rotation.apply(f, call, call.key, keyValueHeads);
    if (this.#fuses(call)) {
      const open = (x: Value, count: number): Value => b.reshape(x, [rows, length, count * headSize]);
      const mixed = b.op(
        'CausalAttention',
        [open(query, heads), open(key, keyValueHeads), open(call.value, keyValueHeads)],
        { num_heads: heads, kv_num_heads: keyValueHeads, scale: float(call.scale) },
      );
      return b.reshape(mixed, [rows * length, heads * headSize]);
    }
    const q = b.transpose(b.reshape(query, [rows, length, keyValueHeads, group, headSize]), [0, 2, 3, 1, 4]);
    const k = b.transpose(b.reshape(key, [rows, length, keyValueHeads, headSize]), [0, 2, 1, 3]);
    const v = b.transpose(b.reshape(call.value, [rows, length, keyValueHeads, headSize]), [0, 2, 1, 3]);
    const joined = this.#products.apply(q, k, v, call);
    const merged = b.keeping('cheap', () => b.transpose(joined, [0, 3, 1, 2, 4]));
    return b.reshape(merged, [rows * length, heads * headSize]);
  }

  /** The operator knows neither packed examples nor windows, and heads of some sizes alone. */
  #fuses({ headSize, window }: AttentionCall): boolean {
    const { fused, segments, length } = this.shape;
    const whole = window === undefined || window >= length;
    return fused === true && !segments && whole && length > 1 && headSize % 8 === 0 && headSize <= 256;
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
  /** @param segments int64 [B, S], the number of the packed example that a position belongs to; undefined without packing. */
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
    const { b, segments } = this;
    if (!segments) return causalMask(b, block, firstKey, window);
    return b.once(
      `segment mask ${segments.name} ${block.start}:${block.end}:${firstKey}:${window ?? ''}`,
      () => {
        const none: Record<string, never> = {};
        const [count, keys] = [block.end - block.start, block.end - firstKey];
        const visible = visibleKeys(block, firstKey, window);
        const causal = b.constant('bool', [1, 1, 1, count, keys], visible, 'causal');
        const mine = b.reshape(b.slice(segments, 1, block.start, block.end), [this.rows, 1, 1, count, 1]);
        const theirs = b.reshape(b.slice(segments, 1, firstKey, block.end), [this.rows, 1, 1, 1, keys]);
        const together = b.op('And', [b.op('Equal', [mine, theirs], none), causal], none);
        return b.op('Where', [together, b.scalar(0), b.scalar(masked)], none);
      },
    );
  }
}

/** The output is kept, the probabilities are cheap to make again. */
const keepProbabilitiesCheap: readonly Keep[] = ['product', 'cheap'];

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
