// Operators of attention and of its way back.
import { elements } from '../../dtype';
import type { GraphBuilder } from '../builder';
import type { Value } from '../graph';
import { replaced, sameShape } from '../shape';
import { defineOps, type OpDefinition, required } from './definition';

/** Columns that are added to dO and V: two parts of a sum, and zeros that keep rows at multiples of 16 bytes. */
const added = 8;

export const attentionOps = defineOps({
  /**
   * softmax(scores)·v in one operator, so that its gradient can use rowsum(O∘dO) for rowsum(P∘dP) and touch the
   * [.., q, k] matrices twice instead of four times. scores [.., q, k], v [.., k, Dh] → O [.., q, Dh], P [.., q, k].
   */
  SoftmaxMatMul: {
    domain: 'workbench',
    precision: 'half',
    infer: (inputs, _, fail) => {
      const [scores, v] = [required(inputs, 0, fail), required(inputs, 1, fail)];
      if (scores.shape.at(-1) !== v.shape.at(-2)) fail('scores and values disagree on the number of keys');
      if (!sameShape(scores.shape.slice(0, -2), v.shape.slice(0, -2))) fail('the leading dimensions differ');
      return [{ dtype: scores.dtype, shape: [...scores.shape.slice(0, -1), v.shape.at(-1)!] }, scores];
    },
    expand: (b, inputs) => {
      const p = b.op('Softmax', [inputs[0]!], { axis: -1 });
      return [b.op('MatMul', [p, inputs[1]!], {}), p];
    },
  } as OpDefinition<Record<string, never>>,
  /** Softmax over the last axis, kept in the compute type; kernels add up in fp32. */
  Probabilities: {
    domain: 'workbench',
    precision: 'half',
    infer: (inputs, _, fail) => [required(inputs, 0, fail)],
    expand: (b, inputs) => [b.op('Softmax', [inputs[0]!], { axis: -1 })],
  } as OpDefinition<Record<string, never>>,
  /**
   * Causal attention whose scores never lie in memory: query [B, S, H·Dh], key and value [B, S, K·Dh] → [B, S, H·Dh]. The way back
   * makes the scores again, block by block (autodiff/attention.ts).
   */
  CausalAttention: {
    domain: 'workbench',
    precision: 'half',
    infer: (inputs, a, fail) => {
      const [query, key, value] = [0, 1, 2].map((i) => required(inputs, i, fail));
      if (query!.shape.length !== 3 || !sameShape(key!.shape, value!.shape))
        fail('query, key and value must be [B, S, D]');
      if (query!.shape[2]! * a.kv_num_heads !== key!.shape[2]! * a.num_heads)
        fail('the heads differ in size');
      return [query!];
    },
    expand: (b, [query, key, value], a) => {
      const [rows, length] = query!.shape as [number, number];
      const last = b.constant('int32', [rows], new Int32Array(rows).fill(length - 1), 'last_position');
      const total = b.constant('int32', [1], Int32Array.of(length), 'total_length');
      return [
        b.op('GroupQueryAttention', [query!, key!, value!, null, null, last, total], {
          ...a,
          do_rotary: 0,
          rotary_interleaved: 0,
          local_window_size: -1,
        }),
      ];
    },
  } as OpDefinition<{ num_heads: number; kv_num_heads: number; scale: { float: number } }>,
  /**
   * dO [.., Dh], O → [.., Dh + 8]: dO and −rowsum(O∘dO), which a product with V and ones takes away from dO·Vᵀ. In 16 bits the sum
   * is two numbers, its value rounded and what the rounding left.
   */
  WithRowSums: {
    domain: 'workbench',
    precision: 'half',
    infer: (inputs, _, fail) => {
      const [dO, o] = [required(inputs, 0, fail), required(inputs, 1, fail)];
      if (!sameShape(dO.shape, o.shape)) fail('the shapes differ');
      return [{ dtype: dO.dtype, shape: widened(dO.shape) }];
    },
    expand: (b, inputs) => [withRowSums(b, inputs[0]!, inputs[1]!)],
  } as OpDefinition<Record<string, never>>,
  /** V [.., Dh] → [.., Dh + 8]: V and ones for both parts of the sum. */
  WithOnes: {
    domain: 'workbench',
    precision: 'half',
    infer: (inputs, _, fail) => {
      const v = required(inputs, 0, fail);
      return [{ dtype: v.dtype, shape: widened(v.shape) }];
    },
    expand: (b, inputs) => [withOnes(b, inputs[0]!)],
  } as OpDefinition<Record<string, never>>,
  /**
   * The gradient of scores: P, dO, O, V → dS = P∘(dO·Vᵀ − rowsum(O∘dO)). In 16 bits the sum is taken away inside the product, in
   * fp32, so that nothing else passes over the scores.
   */
  ScoresGradient: {
    domain: 'workbench',
    precision: 'half',
    infer: (inputs, _, fail) => [required(inputs, 0, fail)],
    expand: (b, inputs) => {
      const [p, dO, o, v] = inputs as [Value, Value, Value, Value];
      if (p.dtype !== 'float32')
        return [b.mul(p, b.product(withRowSums(b, dO, o), withOnes(b, v), { transB: true }))];
      const dP = b.product(dO, v, { transB: true });
      return [b.mul(p, b.sub(dP, b.sum(b.mul(o, dO), [-1])))];
    },
  } as OpDefinition<Record<string, never>>,
});

function widened(shape: readonly number[]): number[] {
  return replaced(shape, shape.length - 1, shape.at(-1)! + added);
}

function withRowSums(b: GraphBuilder, dO: Value, o: Value): Value {
  const cast = (x: Value, to: Value['dtype']): Value => (x.dtype === to ? x : b.op('Cast', [x], { to }));
  const { dtype } = dO;
  const sum = b.op('Neg', [b.sum(cast(b.mul(o, dO), 'float32'), [-1])], {});
  const high = cast(sum, dtype);
  const low = cast(b.sub(sum, cast(high, 'float32')), dtype);
  const zeros = columns(b, dtype, replaced(dO.shape, dO.shape.length - 1, added - 2), () => 0);
  return b.concat([dO, high, low, zeros], -1);
}

function withOnes(b: GraphBuilder, v: Value): Value {
  const shape = replaced(v.shape, v.shape.length - 1, added);
  return b.concat([v, columns(b, v.dtype, shape, (i) => (i % added < 2 ? 1 : 0))], -1);
}

/** Zeros and ones, kept once for all that want the same. */
function columns(
  b: GraphBuilder,
  dtype: Value['dtype'],
  shape: readonly number[],
  at: (i: number) => 0 | 1,
): Value {
  const name = `columns of ${at(0)} ${dtype} ${shape.join('x')}`;
  return b.once(name, () => {
    const one = { float32: 1, bfloat16: 0x3f80, float16: 0x3c00 }[dtype as 'float32'];
    const data = new (dtype === 'float32' ? Float32Array : Uint16Array)(elements(shape));
    return b.constant(
      dtype,
      shape,
      data.map((_, i) => one * at(i)),
      'columns',
    );
  });
}
