// The largest eigenvectors of a large symmetric matrix that is known by its products only: subspace iteration, each round
// through a Chebyshev polynomial that is small on the unwanted part of the spectrum and grows fast beyond it (Zhou and Saad,
// 2007). The smallest ones of a matrix are the largest of its inverse.
import type { Random } from '../random';
import { block, type DoubleMatrix, doubleMatrix } from './matrix';
import { orthonormalByProducts } from './orthonormal';
import type { Products } from './products';
import { symmetricEigenByProducts } from './symmetric';

/** x [n, k] → H·x. */
export type Apply = (x: DoubleMatrix) => Promise<DoubleMatrix>;

export interface SubspaceOptions {
  /** Times a symmetric positive semidefinite [n, n] matrix. */
  apply: Apply;
  n: number;
  r: number;
  /** How much more the filter may enlarge the first wanted direction than the last, so that products keep both. */
  spread: number;
  /** What a wanted eigenvalue counts in the sum that has to settle. */
  weight(value: number): number;
  /** Relative change of that sum at which a round brings no more. */
  settled: number;
}

export interface Subspace {
  /** [n, r], orthonormal; from the largest eigenvalue down. */
  vectors: DoubleMatrix;
  values: Float64Array;
  rounds: number;
}

const mostRounds = 40;
const mostDegree = 12;

export async function leadingSubspace(
  products: Products,
  { apply, n, r, spread, weight, settled }: SubspaceOptions,
  random: Random,
): Promise<Subspace> {
  const width = Math.min(n, r + Math.max(8, Math.ceil(r / 2)));
  let basis = doubleMatrix(n, width);
  for (let i = 0; i < basis.data.length; i++) basis.data[i] = random.normal();
  basis = await orthonormalByProducts(products, await apply(basis), random);
  basis = await orthonormalByProducts(products, await apply(basis), random);
  let { values, vectors } = await ritz(products, apply, basis);
  const sum = (): number => values.slice(0, r).reduce((total, value) => total + weight(value), 0);
  let before = sum();
  let rounds = 0;
  while (rounds < mostRounds && width < n) {
    rounds++;
    // The unwanted part lies between zero and the innermost value of the subspace.
    const high = Math.max(0, values[width - 1]!);
    const target = Math.max(values[0]!, high * 1.001);
    const degree = degreeFor(high, target, values[r - 1]!, spread);
    const image = await filtered(apply, vectors, high, target, degree);
    basis = await orthonormalByProducts(products, image, random);
    ({ values, vectors } = await ritz(products, apply, basis));
    const now = sum();
    const change = Math.abs(now - before);
    before = now;
    if (!(change > settled * Math.abs(now))) break;
  }
  return { vectors: block(vectors, 0, n, 0, r), values: values.slice(0, r), rounds };
}

/** The degree at which the filter enlarges `target` at most `spread` times as much as `last`. */
function degreeFor(high: number, target: number, last: number, spread: number): number {
  const growth = (value: number): number => {
    const t = (2 * value - high) / (high || 1);
    return t <= 1 ? 1 : t + Math.sqrt(t * t - 1);
  };
  const ratio = growth(target) / growth(last);
  return ratio <= 1
    ? mostDegree
    : Math.max(1, Math.min(mostDegree, Math.floor(Math.log(spread) / Math.log(ratio))));
}

/** Eigenvalues of H within the span of an orthonormal basis, and their vectors, from the largest down. */
async function ritz(
  products: Products,
  apply: Apply,
  basis: DoubleMatrix,
): Promise<{ values: Float64Array; vectors: DoubleMatrix }> {
  const inner = await products.multiply(basis, await apply(basis), { transA: true });
  const { values, vectors } = await symmetricEigenByProducts(products, inner);
  return { values, vectors: await products.multiply(basis, vectors) };
}

/**
 * C_m((H − c)/e)·x with c, e the centre and half-width of [0, high], scaled by its value at `target`, so that nothing
 * overflows (the three-term recursion with σ of Zhou and Saad).
 */
async function filtered(
  apply: Apply,
  x: DoubleMatrix,
  high: number,
  target: number,
  degree: number,
): Promise<DoubleMatrix> {
  const e = high / 2;
  const c = high / 2;
  // Of degree 1 the filter is a shift only; a plain product damps better.
  if (!(e > 0) || degree === 1) return apply(x);
  const first = e / (target - c);
  let sigma = first;
  let past = x;
  let now = combined(await apply(x), x, sigma / e, (-c * sigma) / e);
  for (let i = 2; i <= degree; i++) {
    const next = 1 / (2 / first - sigma);
    const image = combined(await apply(now), now, (2 * next) / e, (-2 * c * next) / e);
    const step = combined(image, past, 1, -sigma * next);
    past = now;
    now = step;
    sigma = next;
  }
  return now;
}

/** p·a + q·b. */
function combined(a: DoubleMatrix, b: DoubleMatrix, p: number, q: number): DoubleMatrix {
  const out = doubleMatrix(a.rows, a.columns);
  for (let i = 0; i < out.data.length; i++) out.data[i] = p * a.data[i]! + q * b.data[i]!;
  return out;
}
