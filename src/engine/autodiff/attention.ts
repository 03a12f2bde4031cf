// Gradients of attention. With P = softmax(S), O = P·V: dV = Pᵀ·dO, dP = dO·Vᵀ, dS = P∘(dP − rowsum(O∘dO)), for
// rowsum(P∘dP) = rowsum(O∘dO).
//
// In 16 bits the row sums are taken away inside the product: [dO, −sum]·[V, 1]ᵀ = dP − sum. So no pass over the scores does it, and
// the difference is rounded once, after it was taken in fp32.
import type { GraphBuilder } from '../graph/builder';
import { type Block, causalMask, queryBlocks } from '../graph/causalBlocks';
import { float, type Value } from '../graph/graph';
import { replaced } from '../graph/shape';
import { defineGradients, type GradientContext } from './rule';

const none: Record<string, never> = {};

export const attentionGradients = defineGradients({
  SoftmaxMatMul: {
    grad: (c) => {
      const { b } = c;
      const [p, dO] = [c.output(1), c.dOutput(0)];
      return [
        c.needs(0) ? b.op('ScoresGradient', [p, dO, c.output(0), c.input(1)], none) : null,
        c.needs(1) ? b.product(p, dO, { transA: true }) : null,
      ];
    },
    samples: [{ inputs: [{ shape: [2, 3, 4], range: [-2, 2] }, { shape: [2, 4, 5] }] }],
  },
  Probabilities: { stop: 'made on the way back alone' },
  WithRowSums: { stop: 'made on the way back alone' },
  WithOnes: { stop: 'made on the way back alone' },
  ScoresGradient: { stop: 'made on the way back alone' },
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
    const open = [this.#rows, this.#length, this.#keyHeads, this.#group, this.#width];
    const queries = this.#split(this.#byQuery(c.input(0), this.#width));
    const keys = this.#byKey(c.input(1), this.#width);
    const given = b.op('WithRowSums', [b.reshape(c.dOutput(0), open), b.reshape(c.output(0), open)], none);
    const outputs = this.#split(this.#byQuery(given, given.shape.at(-1)!));
    const values = b.op('WithOnes', [this.#byKey(c.input(2), this.#width)], none);
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

  /** dQ [B, K, G, n, Dh], dK [B, K, end, Dh] and dV [B, K, end, Dh + 8] of n queries. */
  #block(block: Block, query: Value, keys: Value, output: Value, values: Value) {
    const b = this.#b;
    const [rows, keyHeads, group] = [this.#rows, this.#keyHeads, this.#group];
    const [count, end] = [block.end - block.start, block.end];
    const seen = (x: Value): Value => (end === this.#length ? x : b.slice(x, 2, 0, end));
    const k = seen(keys);
    const q = b.reshape(query, [rows, keyHeads, group * count, this.#width]);
    const dO = b.reshape(output, [rows, keyHeads, group * count, values.shape.at(-1)!]);
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
