// Causal self-attention over a key/value cache, for generation: one operator that appends the new keys and values to
// buffers of fixed size, in place, and attends to what each row has so far. Inference only; autodiff never sees it.
//
// Rows are right-padded: row b has `last[b] + 1` real positions after the call, and what lies beyond is neither read nor
// kept (the next call writes over it). Rotation happens before the operator, as in training, so that every rotary scaling
// and head size has one implementation. ORT runs the operator in fp32 on the CPU and WebGPU; its CUDA kernel takes 16-bit
// floats only, so that fp32 graphs on CUDA send it to the CPU.
import type { GraphBuilder } from '../graph/builder';
import { float, type GraphOutput, type Value } from '../graph/graph';
import type { AttentionCall, Forward } from './architecture';
import { rotaryCaches } from './attention';
import type { Rotary } from './rotary';

/** The operator takes heads of a multiple of 8; others are filled up with zeros, which change no product. */
const headMultiple = 8;

/** Names of one layer's buffers: `past` is the input, `present` the output that is bound to the same memory. */
export interface CachePort {
  past: string;
  present: string;
  /** [B, K, T, Dh], Dh filled up to a multiple of 8. */
  shape: readonly number[];
}

export interface CachedAttentionOptions {
  rows: number;
  /** Positions of this call: the prompt's, or 1. */
  length: number;
  /** T, positions that the buffers hold. */
  capacity: number;
  /** int32 [B]: index of the row's last real position, that of this call included. */
  last: Value;
}

/** Builds the attention layers of one graph. */
export class CachedAttention {
  readonly ports: CachePort[] = [];
  readonly outputs: GraphOutput[] = [];
  /** Set where frequencies depend on the sequence length: the host then feeds `rotary_cos` and `rotary_sin`. */
  fedRotary: { rotary: Rotary; width: number } | undefined;
  readonly #caches = new Map<object, { cos: Value; sin: Value }>();
  #fed: { cos: Value; sin: Value; positions: Value } | undefined;

  constructor(
    private readonly b: GraphBuilder,
    private readonly o: CachedAttentionOptions,
  ) {}

  /** [N, heads·Dh] → [N, heads·Dh]. */
  apply(f: Pick<Forward, 'positions'>, call: AttentionCall): Value {
    const { b } = this;
    const { rows, length, capacity, last } = this.o;
    const { heads, keyValueHeads, headSize } = call;
    const width = Math.ceil(headSize / headMultiple) * headMultiple;
    const open = (x: Value, count: number): Value => b.reshape(x, [rows, length, count * headSize]);
    const filled = (x: Value, count: number): Value => this.#filled(x, count, headSize, width);
    const query = filled(this.#rotated(f, call, open(call.query, heads), heads), heads);
    const key = filled(this.#rotated(f, call, open(call.key, keyValueHeads), keyValueHeads), keyValueHeads);
    const value = filled(open(call.value, keyValueHeads), keyValueHeads);

    const shape = [rows, keyValueHeads, capacity, width];
    const [pastKey, pastValue] = (['key', 'value'] as const).map((part) => {
      const port = { past: `past_${part}.${call.layer}`, present: `present_${part}.${call.layer}`, shape };
      this.ports.push(port);
      return b.input(port.past, 'float32', shape);
    });
    // The total length tells the operator a prompt (equal to the call's length) from a continuation; for the latter any
    // bound on the rows' lengths will do, and a constant needs no copy to the host at every step.
    const total = b.constant('int32', [1], Int32Array.of(length > 1 ? length : capacity), 'total_length');
    const [mixed, presentKey, presentValue] = b.apply(
      'GroupQueryAttention',
      [query, key, value, pastKey!, pastValue!, last, total],
      {
        num_heads: heads,
        kv_num_heads: keyValueHeads,
        do_rotary: 0,
        rotary_interleaved: 0,
        local_window_size: call.window ?? -1,
        scale: float(call.scale),
      },
    );
    this.outputs.push(
      { name: `present_key.${call.layer}`, value: presentKey! },
      { name: `present_value.${call.layer}`, value: presentValue! },
    );
    const narrow =
      width === headSize ? mixed! : b.slice(b.reshape(mixed!, [rows * length, heads, width]), 2, 0, headSize);
    return b.reshape(narrow, [rows * length, heads * headSize]);
  }

  #rotated(f: Pick<Forward, 'positions'>, call: AttentionCall, x: Value, heads: number): Value {
    if (!call.rotary) return x;
    const { b } = this;
    const { cos, sin, positions } = call.rotary.lengthDependent
      ? this.#fedCaches(call)
      : { ...rotaryCaches(b, this.#caches, call, this.o.capacity), positions: f.positions };
    return b.op('RotaryEmbedding', [x, positions, cos, sin], { num_heads: heads, interleaved: 0 });
  }

  /** One cache row per position of the call, [B·S, Dh/2], since every row of the batch has frequencies of its own. */
  #fedCaches(call: AttentionCall): { cos: Value; sin: Value; positions: Value } {
    const { b } = this;
    const { rows, length } = this.o;
    if (!this.#fed) {
      const width = call.headSize / 2;
      this.fedRotary = { rotary: call.rotary!, width };
      const numbers = BigInt64Array.from({ length: rows * length }, (_, i) => BigInt(i));
      this.#fed = {
        cos: b.input('rotary_cos', 'float32', [rows * length, width]),
        sin: b.input('rotary_sin', 'float32', [rows * length, width]),
        positions: b.constant('int64', [rows, length], numbers, 'rotary_rows'),
      };
    }
    return this.#fed;
  }

  #filled(x: Value, count: number, headSize: number, width: number): Value {
    if (width === headSize) return x;
    const { b } = this;
    const { rows, length } = this.o;
    const zeros = b.fill([rows, length, count, width - headSize], 0);
    const open = b.reshape(x, [rows, length, count, headSize]);
    return b.reshape(b.concat([open, zeros], 3), [rows, length, count * width]);
  }
}
