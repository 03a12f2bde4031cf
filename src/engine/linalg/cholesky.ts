// Cholesky factors of large positive definite matrices, in fp64, by halves: the large products run on the runtime, blocks on
// the diagonal are factored on the host. What comes out is the inverse of the factor, so that solving is a product too.
import { invariant } from '../errors';
import { firstHalf, hostSize } from './decompositionMemory';
import { block, type DoubleMatrix, doubleMatrix, put, transposed } from './matrix';
import type { Products } from './products';

/**
 * L⁻¹ of S = L·Lᵀ, lower triangular; about 4/3·n³ additions and as many multiplications.
 * @param s [n, n], symmetric; only what is on and below the diagonal is read.
 * @returns undefined where S is not positive definite to rounding.
 */
export async function inverseCholesky(
  products: Products,
  s: DoubleMatrix,
): Promise<DoubleMatrix | undefined> {
  const n = s.rows;
  if (n <= hostSize) return onHost(s);
  const half = firstHalf(n);
  const first = await inverseCholesky(products, block(s, 0, half, 0, half));
  if (!first) return undefined;
  // L21 = S21·L11⁻ᵀ; the rest of S22 is factored; (L⁻¹)21 = −L22⁻¹·L21·L11⁻¹.
  const below = await products.multiply(block(s, half, n, 0, half), first, { transB: true });
  const rest = block(s, half, n, half, n);
  const outer = await products.multiply(below, below, { transB: true });
  for (let i = 0; i < rest.data.length; i++) rest.data[i]! -= outer.data[i]!;
  const second = await inverseCholesky(products, rest);
  if (!second) return undefined;
  const corner = await products.multiply(await products.multiply(second, below), first);
  const out = doubleMatrix(n, n);
  put(out, first, 0, 0);
  put(out, second, half, half);
  for (let i = 0; i < corner.data.length; i++) corner.data[i] = -corner.data[i]!;
  put(out, corner, half, 0);
  return out;
}

/**
 * The same of S + δ·I, with the smallest δ = `share`·trace(S)·10^i that makes it positive definite: for matrices that are
 * singular, or nearly so. Zero matrices get the unit matrix's factor.
 */
export async function shiftedInverseCholesky(
  products: Products,
  s: DoubleMatrix,
  share: number,
): Promise<DoubleMatrix> {
  const n = s.rows;
  let trace = 0;
  for (let i = 0; i < n; i++) trace += s.data[i * n + i]!;
  invariant(Number.isFinite(trace), 'the matrix is finite');
  let shift = trace > 0 ? share * trace : 1;
  for (;;) {
    const shifted = doubleMatrix(n, n, s.data.slice());
    for (let i = 0; i < n; i++) shifted.data[i * n + i]! += shift;
    const factor = await inverseCholesky(products, shifted);
    if (factor) return factor;
    shift *= 10;
  }
}

/** L⁻¹ of a small matrix. */
function onHost(s: DoubleMatrix): DoubleMatrix | undefined {
  const n = s.rows;
  const l = s.data.slice();
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = l[i * n + j]!;
      for (let p = 0; p < j; p++) sum -= l[i * n + p]! * l[j * n + p]!;
      if (i > j) l[i * n + j] = sum / l[j * n + j]!;
      // A pivot that is rounding only, or not finite, ends it.
      else if (!(sum > 4 * n * Number.EPSILON * Math.abs(s.data[j * n + j]!))) return undefined;
      else l[j * n + j] = Math.sqrt(sum);
    }
  }
  // Column j of L⁻¹ is row j here, so that the inner loop runs along rows.
  const columns = doubleMatrix(n, n);
  for (let j = 0; j < n; j++) {
    for (let i = j; i < n; i++) {
      let sum = i === j ? 1 : 0;
      for (let p = j; p < i; p++) sum -= l[i * n + p]! * columns.data[j * n + p]!;
      columns.data[j * n + i] = sum / l[i * n + i]!;
    }
  }
  return transposed(columns);
}
