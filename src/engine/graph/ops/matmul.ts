// Matrix products: plain, transposed and scaled.
import { broadcastShapes } from '../shape';
import { defineOps, type OpDefinition, required } from './definition';
import { packedProduct } from './packed';

type Flag = 0 | 1;

export const matmulOps = defineOps({
  /** Batched product with NumPy broadcasting of the leading dimensions. */
  MatMul: {
    domain: '',
    precision: 'half',
    infer: (inputs, _, fail) => [product(required(inputs, 0, fail), required(inputs, 1, fail), 0, 0, fail)],
  } as OpDefinition<Record<string, never>>,
  /** alpha · op(A) · op(B), batched; op transposes the last two dimensions. */
  FusedMatMul: {
    domain: 'com.microsoft',
    precision: 'half',
    infer: (inputs, a, fail) => [
      product(required(inputs, 0, fail), required(inputs, 1, fail), a.transA, a.transB, fail),
    ],
  } as OpDefinition<{ alpha: { float: number }; transA: Flag; transB: Flag }>,
  /** alpha · op(A) · op(B) + C on matrices; C is optional and broadcast. */
  Gemm: {
    domain: '',
    precision: 'half',
    onDevice: packedProduct,
    infer: (inputs, a, fail) => {
      const [x, w] = [required(inputs, 0, fail), required(inputs, 1, fail)];
      if (x.shape.length !== 2 || w.shape.length !== 2) fail('both factors must be matrices');
      const out = product(x, w, a.transA, a.transB, fail);
      const c = inputs[2];
      if (c && broadcastShapes(c.shape, out.shape).some((d, i) => d !== out.shape[i]))
        fail('C does not broadcast to the product');
      return [out];
    },
  } as OpDefinition<{ alpha: { float: number }; transA: Flag; transB: Flag }>,
});

function product(
  a: { dtype: string; shape: readonly number[] },
  b: { dtype: string; shape: readonly number[] },
  transA: Flag,
  transB: Flag,
  fail: (why: string) => never,
) {
  if (a.dtype !== b.dtype) fail('the element types differ');
  if (a.shape.length < 2 || b.shape.length < 2) fail('a factor has fewer than two dimensions');
  const [am, ak] = transA ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!];
  const [bk, bn] = transB ? [b.shape.at(-1)!, b.shape.at(-2)!] : [b.shape.at(-2)!, b.shape.at(-1)!];
  if (ak !== bk) fail(`the inner dimensions ${ak} and ${bk} differ`);
  const [left, right] = [a.shape.slice(0, -2), b.shape.slice(0, -2)];
  const batches = broadcastShapes(left, right);
  // ONNX Runtime's CUDA kernel compares the numbers of products alone and would pair [2, 1] with [1, 2] one by one (seen in 1.28).
  const count = (sizes: readonly number[]): number => sizes.reduce((all, size) => all * size, 1);
  if (count(left) > 1 && count(left) === count(right) && count(batches) !== count(left))
    fail(`batches of [${left}] and [${right}] are as many, but not the same: expand one of them`);
  return { dtype: a.dtype as 'float32', shape: [...batches, am, bn] };
}
