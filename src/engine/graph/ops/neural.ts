// Operators of transformer layers: softmax, norms, rotary positions, attention.
import { elements } from '../../dtype';
import type { GraphBuilder } from '../builder';
import { float, type Value } from '../graph';
import { replaced } from '../shape';
import { defineOps, type OpDefinition, required } from './definition';

export const neuralOps = defineOps({
  /** Over the last axis. */
  Softmax: {
    domain: '',
    precision: 'float32',
    infer: (inputs, _, fail) => [required(inputs, 0, fail)],
  } as OpDefinition<{ axis: -1 }>,
  /** RMS norm over the last axis: x, weight → y, 1/rms [..., 1]. */
  SimplifiedLayerNormalization: {
    domain: '',
    precision: 'half',
    infer: (inputs, _, fail) => {
      const x = required(inputs, 0, fail);
      return [x, { dtype: 'float32', shape: replaced(x.shape, x.shape.length - 1, 1) }];
    },
  } as OpDefinition<{ axis: -1; epsilon: { float: number } }>,
  /**
   * The gradient that a RMS norm sends to x: x, weight, s = 1/rms [.., 1], dY → dX. With t = dY∘w:
   * dX = s·t − x·(s³/D)·Σ(t∘x).
   */
  SimplifiedLayerNormalizationGradient: {
    domain: 'workbench',
    precision: 'half',
    exact: [2],
    infer: (inputs, _, fail) => [required(inputs, 0, fail)],
    expand: (b, inputs) => {
      const [x, weight, inverse, dY] = inputs as [Value, Value, Value, Value];
      if (x.dtype === 'bfloat16') return [halfRmsGradient(b, x, weight, inverse, dY)];
      const cast = (value: Value, to: Value['dtype']): Value =>
        value.dtype === to ? value : b.op('Cast', [value], { to });
      const wide = [x, weight, inverse, dY].map((value) => cast(value, 'float32'));
      return [cast(rmsGradient(b, ...(wide as [Value, Value, Value, Value])), x.dtype)];
    },
  } as OpDefinition<Record<string, never>>,
  /** Layer norm over the last axis: x, weight, bias → y, mean [..., 1], 1/σ [..., 1]. */
  LayerNormalization: {
    domain: '',
    precision: 'half',
    infer: (inputs, _, fail) => {
      const x = required(inputs, 0, fail);
      const statistic = { dtype: 'float32' as const, shape: replaced(x.shape, x.shape.length - 1, 1) };
      return [x, statistic, statistic];
    },
  } as OpDefinition<{ axis: -1; epsilon: { float: number } }>,
  /**
   * Rotary positions (half-split convention) on x [B, S, heads·Dh] with position ids [B, S] and caches [positions, Dh/2].
   */
  RotaryEmbedding: {
    domain: 'com.microsoft',
    precision: 'half',
    infer: (inputs, a, fail) => {
      const [x, ids, cos] = [0, 1, 2].map((i) => required(inputs, i, fail));
      if (x!.shape.length !== 3 || ids!.shape.length !== 2) fail('x must be [B, S, D] and positions [B, S]');
      const headSize = x!.shape[2]! / a.num_heads;
      if (cos!.shape[1] !== headSize / 2)
        fail(`the cache is ${cos!.shape[1]} wide, half a head is ${headSize / 2}`);
      return [x!];
    },
  } as OpDefinition<{ num_heads: number; interleaved: 0 }>,
  /** x, weights: x itself; going backward the gradient's rows are multiplied by the weights (broadcast). */
  ScaleGradient: {
    domain: 'workbench',
    precision: 'half',
    infer: (inputs, _, fail) => [required(inputs, 0, fail)],
    expand: (_, inputs) => [inputs[0]!],
  } as OpDefinition<Record<string, never>>,
  /** x itself; nothing flows backward through it. */
  StopGradient: {
    domain: 'workbench',
    precision: 'follows',
    infer: (inputs, _, fail) => [required(inputs, 0, fail)],
    expand: (_, inputs) => [inputs[0]!],
  } as OpDefinition<Record<string, never>>,
  /** x as it is kept: in the compute type of the graph. Its gradient is kept so too. */
  Stored: {
    domain: 'workbench',
    precision: 'half',
    infer: (inputs, _, fail) => [required(inputs, 0, fail)],
    expand: (_, inputs) => [inputs[0]!],
  } as OpDefinition<Record<string, never>>,
  /** A tensor of one value. */
  Fill: {
    domain: 'workbench',
    precision: 'follows',
    infer: (_, a) => [{ dtype: 'float32', shape: a.shape }],
    expand: (b, _, a) => {
      const scalar = b.scalar(a.value.float);
      return [
        elements(a.shape) === 1 && a.shape.length === 0
          ? scalar
          : b.op('Expand', [scalar], { shape: a.shape }),
      ];
    },
  } as OpDefinition<{ shape: readonly number[]; value: { float: number } }>,
  /**
   * Attention over a cache, and the forward pass of CausalAttention. query [B, S, H·Dh], key and value [B, S, K·Dh], past key and value [B, K, T, Dh] (written in place),
   * last filled position int32 [B], total length int32 [1], cos and sin caches or null → output, present key and value.
   * Without a past, what is present is what was given.
   */
  GroupQueryAttention: {
    domain: 'com.microsoft',
    precision: 'cache',
    infer: (inputs, a, fail) => {
      const [query, key] = [required(inputs, 0, fail), required(inputs, 1, fail)];
      if (inputs[3]) return [query, inputs[3], required(inputs, 4, fail)];
      const [rows, length, width] = key.shape as [number, number, number];
      const present = { dtype: key.dtype, shape: [rows, a.kv_num_heads, length, width / a.kv_num_heads] };
      return [query, present, present];
    },
  } as OpDefinition<{
    num_heads: number;
    kv_num_heads: number;
    do_rotary: 0 | 1;
    rotary_interleaved: 0;
    local_window_size: number;
    scale: { float: number };
  }>,
});

function rmsGradient(b: GraphBuilder, x: Value, weight: Value, inverse: Value, dY: Value): Value {
  const t = b.mul(dY, weight);
  const cube = b.scale(b.mul(inverse, b.mul(inverse, inverse)), 1 / x.shape.at(-1)!);
  const pull = b.mul(b.sum(b.mul(t, x), [-1]), cube);
  return b.sub(b.mul(t, inverse), b.mul(x, pull));
}

/**
 * In bfloat16: (t − x·(s²/D)·Σ(t∘x))·s, for which no tensor of x's size is cast but the products that the sum runs over. Sums and
 * what belongs to a row are fp32, rounded where they multiply. Under float16 with its loss scale they would leave its range.
 */
function halfRmsGradient(b: GraphBuilder, x: Value, weight: Value, inverse: Value, dY: Value): Value {
  const cast = (value: Value, to: Value['dtype']): Value => b.op('Cast', [value], { to });
  const t = b.mul(dY, weight);
  const mean = b.op('ReduceMean', [cast(b.mul(t, x), 'float32')], { axes: [-1], keepdims: 1 });
  const pull = cast(b.mul(mean, b.mul(inverse, inverse)), x.dtype);
  return b.mul(b.sub(t, b.mul(x, pull)), cast(inverse, x.dtype));
}

export { float };
