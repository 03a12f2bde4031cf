// Gradients of attention. With P = softmax(S), O = P·V: dV = Pᵀ·dO, dP = dO·Vᵀ, dS = P∘(dP − rowsum(O∘dO)), for
// rowsum(P∘dP) = rowsum(O∘dO).
//
// The row sums are taken away inside the product: [dO, −sum]·[V, 1]ᵀ = dP − sum. So no pass over the scores does it, and in
// 16 bits the difference is rounded once, after it was taken in fp32. The sum itself goes in as two 16-bit numbers, its value
// rounded and what the rounding left.
import { elements } from '../dtype';
import type { GraphBuilder } from '../graph/builder';
import { type Block, causalMask, queryBlocks } from '../graph/causalBlocks';
import { float, type Value } from '../graph/graph';
import { replaced } from '../graph/shape';
import { defineGradients, type GradientContext } from './rule';

const none: Record<string, never> = {};
/** Columns that are added to dO and V: the sum's two parts, and zeros that keep rows at multiples of 16 bytes. */
const added = 8;

export const attentionGradients = defineGradients({
  SoftmaxMatMul: {
    grad: (c) => {
      const { b } = c;
      const [p, dO] = [c.output(1), c.dOutput(0)];
      let dScores = null;
      if (c.needs(0)) {
        const v = c.input(1);
        dScores = b.mul(p, b.product(withSums(b, dO, c.output(0)), withOnes(b, v), { transB: true }));
      }
      return [dScores, c.needs(1) ? b.product(p, dO, { transA: true }) : null];
    },
    samples: [{ inputs: [{ shape: [2, 3, 4], range: [-2, 2] }, { shape: [2, 4, 5] }] }],
  },
  Probabilities: { stop: 'made on the way back alone' },
  CausalAttention: {
    grad: (c) => new CausalGradients(c).all(),
    samples: [
      {
        inputs: [{ shape: [2, 5, 16] }, { shape: [2, 5, 8] }, { shape: [2, 5, 8] }],
        attributes: { num_heads: 2, kv_num_heads: 1, scale: float(0.5) },
      },
    ],
  },
});

/** [.., Dh] → [.., Dh + added]: dO, and −rowsum(O∘dO) in two columns. */
function withSums(b: GraphBuilder, dO: Value, o: Value): Value {
  const sum = b.op('Neg', [b.sum(b.mul(o, dO), [-1])], none);
  const high = b.op('Stored', [sum], none);
  const low = b.op('Stored', [b.sub(sum, high)], none);
  const zeros = b.fill(replaced(dO.shape, dO.shape.length - 1, added - 2), 0);
  return b.concat([dO, high, low, zeros], -1);
}

/** [.., Dh] → [.., Dh + added]: V, and ones for the two columns. */
function withOnes(b: GraphBuilder, v: Value): Value {
  const shape = replaced(v.shape, v.shape.length - 1, added);
  const columns = b.once(`ones for sums ${shape.join('x')}`, () => {
    const values = Float32Array.from({ length: elements(shape) }, (_, i) => (i % added < 2 ? 1 : 0));
    return b.constant('float32', shape, values, 'ones_for_sums');
  });
  return b.concat([v, columns], -1);
}

interface CausalAttributes {
  num_heads: number;
  kv_num_heads: number;
  scale: { float: number };
}

/** dQ, dK and dV of one causal attention: K key heads with G query heads each, B rows of S positions. */
class CausalGradients {
  readonly #b: GraphBuilder;
  readonly #rows: number;
  readonly #length: number;
  readonly #keyHeads: number;
  readonly #group: number;
  readonly #width: number;
  readonly #scale: number;
  readonly #blocks: readonly Block[];

  constructor(private readonly c: GradientContext<CausalAttributes>) {
    const { num_heads: heads, kv_num_heads: keyHeads, scale } = c.attributes;
    const [rows, length, width] = c.shape(0) as [number, number, number];
    this.#b = c.b;
    [this.#rows, this.#length, this.#keyHeads] = [rows, length, keyHeads];
    [this.#group, this.#width, this.#scale] = [heads / keyHeads, width / heads, scale.float];
    // The rule is not told the device: the fused operator is CUDA's alone.
    this.#blocks = queryBlocks(length, rows * heads, 'cuda');
  }

  all(): (Value | null)[] {
    const { c } = this;
    const b = this.#b;
    const width = this.#width + added;
    const open = [this.#rows, this.#length, this.#keyHeads, this.#group, this.#width];
    const queries = this.#split(this.#byQuery(c.input(0), this.#width));
    const keys = this.#byKey(c.input(1), this.#width);
    const given = withSums(b, b.reshape(c.dOutput(0), open), b.reshape(c.output(0), open));
    const outputs = this.#split(this.#byQuery(given, width));
    const values = withOnes(b, this.#byKey(c.input(2), this.#width));
    const parts = this.#blocks.map((block, i) => this.#block(block, queries[i]!, keys, outputs[i]!, values));
    const dValues = this.#total(parts.map(({ dV }) => dV));
    return [
      c.needs(0)
        ? this.#queriesBack(
            b.concat(
              parts.map(({ dQ }) => dQ),
              3,
            ),
          )
        : null,
      c.needs(1) ? this.#keysBack(this.#total(parts.map(({ dK }) => dK))) : null,
      c.needs(2) ? this.#keysBack(b.slice(dValues, 3, 0, this.#width)) : null,
    ];
  }

  /** dQ [B, K, G, n, Dh], dK [B, K, end, Dh] and dV [B, K, end, Dh + added] of n queries. */
  #block(block: Block, query: Value, keys: Value, output: Value, values: Value) {
    const b = this.#b;
    const [rows, keyHeads, group] = [this.#rows, this.#keyHeads, this.#group];
    const [count, end] = [block.end - block.start, block.end];
    const seen = (x: Value): Value => (end === this.#length ? x : b.slice(x, 2, 0, end));
    const k = seen(keys);
    const q = b.reshape(query, [rows, keyHeads, group * count, this.#width]);
    const dO = b.reshape(output, [rows, keyHeads, group * count, this.#width + added]);
    const scale = { alpha: this.#scale };
    const raw = b.product(q, k, { ...scale, transB: true });
    const scores = b.add(b.reshape(raw, [rows, keyHeads, group, count, end]), causalMask(b, block));
    const p = b.reshape(b.op('Probabilities', [scores], none), raw.shape);
    const dScores = b.mul(p, b.product(dO, seen(values), { transB: true }));
    return {
      dQ: b.reshape(b.product(dScores, k, scale), [rows, keyHeads, group, count, this.#width]),
      dK: b.product(dScores, q, { ...scale, transA: true }),
      dV: b.product(p, dO, { transA: true }),
    };
  }

  /** [.., K·G·w] → [B, K, G, S, w]. */
  #byQuery(x: Value, width: number): Value {
    const b = this.#b;
    const shape = [this.#rows, this.#length, this.#keyHeads, this.#group, width];
    return b.transpose(b.reshape(x, shape), [0, 2, 3, 1, 4]);
  }

  /** [B, S, K·w] → [B, K, S, w]. */
  #byKey(x: Value, width: number): Value {
    const b = this.#b;
    return b.transpose(b.reshape(x, [this.#rows, this.#length, this.#keyHeads, width]), [0, 2, 1, 3]);
  }

  #split(x: Value): readonly Value[] {
    return this.#b.split(
      x,
      3,
      this.#blocks.map(({ start, end }) => end - start),
    );
  }

  #queriesBack(x: Value): Value {
    const b = this.#b;
    return b.reshape(b.transpose(x, [0, 3, 1, 2, 4]), this.c.shape(0));
  }

  #keysBack(x: Value): Value {
    const b = this.#b;
    return b.reshape(b.transpose(x, [0, 2, 1, 3]), this.c.shape(1));
  }

  /** Sums of what the blocks give to keys [0, end), zeros behind. */
  #total(parts: readonly Value[]): Value {
    const b = this.#b;
    return parts
      .map((part) => {
        const missing = this.#length - part.shape[2]!;
        return missing === 0 ? part : b.concat([part, b.fill(replaced(part.shape, 2, missing), 0)], 2);
      })
      .reduce((sum, part) => b.add(sum, part));
  }
}
