// From a truncated SVD to start values: B0 = U·√(σ/s), A0 = √(σ/s)·Vᵀ, so that s·B0·A0 = U·σ·Vᵀ.
import { type Matrix, transposed } from '../../linalg/matrix';
import type { TruncatedSvd } from '../../linalg/svd';
import { Random } from '../../random';
import type { SiteStart, StartContext } from './initialisation';

/**
 * Factors of rank r from two with fewer: a [k, in], b [out, k] as they are; beyond k, where the weight has no more
 * directions, rows of A are drawn as by default and columns of B are zero, so that they learn and change nothing.
 */
export function padded({ site, seed }: StartContext, a: Matrix, b: Matrix): Pick<SiteStart, 'a' | 'b'> {
  const { r, inFeatures, outFeatures } = site;
  const rank = a.rows;
  if (rank === r) return { a: a.data, b: b.data };
  const random = new Random(seed, 'beyond the rank');
  const bound = 1 / Math.sqrt(inFeatures);
  const wholeA = Float32Array.from({ length: r * inFeatures }, () => (2 * random.uniform() - 1) * bound);
  wholeA.set(a.data);
  const wholeB = new Float32Array(outFeatures * r);
  for (let row = 0; row < outFeatures; row++)
    wholeB.set(b.data.subarray(row * rank, (row + 1) * rank), row * r);
  return { a: wholeA, b: wholeB };
}

/** Start values whose scaled product is the decomposition's. `vt` may be another right factor [k, in]. */
export function rootedFactors(
  context: StartContext,
  { u, sigma, vt }: Pick<TruncatedSvd, 'u' | 'sigma' | 'vt'>,
  scaling = context.scaling,
): Pick<SiteStart, 'a' | 'b'> {
  const roots = Float64Array.from(sigma, (value) => Math.sqrt(value / scaling));
  const b = { ...u, data: u.data.map((value, i) => value * roots[i % u.columns]!) };
  const a = { ...vt, data: vt.data.map((value, i) => value * roots[Math.floor(i / vt.columns)]!) };
  return padded(context, a, b);
}

/** The weight [out, in] from how it lies in the checkpoint, and back: Conv1D lies transposed. */
export function outByIn(weight: Matrix, kind: string): Matrix {
  return kind === 'conv1d' ? transposed(weight) : weight;
}
