// Truncated singular value decompositions: the largest or the smallest r. Small matrices go through all eigenvalues of
// their Gram matrix in fp64; large ones through a subspace, by random range finding (Halko, Martinsson and Tropp, 2011) or
// by subspace iteration with a Chebyshev filter (Zhou and Saad, 2007). All products run on the runtime.
import { Random } from '../random';
import { extremeSubspace } from './extremeSubspace';
import { block, frobenius, type Matrix, matrix, scaleRows, transposed } from './matrix';
import { orthonormalColumns } from './orthonormal';
import type { Products } from './products';
import { gramOfRows, symmetricEigen } from './symmetric';

/** A ≈ U·diag(σ)·Vᵀ. */
export interface TruncatedSvd {
  /** [rows, r], orthonormal columns. */
  u: Matrix;
  /** From the largest down; zeros where r exceeds the matrix's sizes. */
  sigma: Float64Array;
  /** [r, columns], orthonormal rows. */
  vt: Matrix;
  report: SvdReport;
}

export interface SvdReport {
  method: 'dense' | 'random' | 'filtered';
  seconds: number;
  /** ‖A − U·Uᵀ·A‖ / ‖A‖ in the Frobenius norm: what the r directions leave out. */
  relativeError: number;
  /** Rounds of the iteration; 0 for dense ones. */
  rounds: number;
}

/** Gram matrices up to this size are taken apart whole. */
const denseSize = 320;
/** Directions beyond r that the random range finder keeps until the end. */
const oversampling = 8;

/** The r largest (`top`) or smallest (`bottom`) singular triplets, to rounding. Deterministic by seed. */
export async function exactSvd(
  products: Products,
  a: Matrix,
  r: number,
  end: 'top' | 'bottom',
  seed: number,
): Promise<TruncatedSvd> {
  const started = performance.now();
  const rank = Math.min(r, a.rows, a.columns);
  const wide = a.rows <= a.columns;
  const size = wide ? a.rows : a.columns;
  if (size <= denseSize || rank * 4 >= size) {
    const { values, vectors } = symmetricEigen(gramOfRows(wide ? a : transposed(a)));
    const chosen = end === 'top' ? vectors.slice(0, rank) : vectors.slice(size - rank);
    const sigma = values.map((value) => Math.sqrt(Math.max(0, value)));
    const result = wide
      ? await fromLeft(products, a, rowsToColumns(chosen, size))
      : await fromRight(products, a, rowsToColumns(chosen, size));
    const own = end === 'top' ? sigma.slice(0, rank) : sigma.slice(size - rank);
    return finished(a, { ...result, sigma: own }, started, 'dense', 0);
  }
  const gram = await products.multiply(a, a, wide ? { transB: true } : { transA: true });
  const held = await products.holding(gram);
  try {
    const found = await extremeSubspace((x) => held.multiply(x), size, rank, end, new Random(seed, 'svd'));
    const result = wide
      ? await fromLeft(products, a, found.vectors)
      : await fromRight(products, a, found.vectors);
    return finished(a, result, started, 'filtered', found.rounds);
  } finally {
    held.release();
  }
}

/**
 * The r largest singular triplets by random range finding: `iterations` passes over AAᵀ sharpen a random start, the basis
 * is made orthonormal after every product.
 */
export async function randomSvd(
  products: Products,
  a: Matrix,
  r: number,
  iterations: number,
  seed: number,
): Promise<TruncatedSvd> {
  const started = performance.now();
  const random = new Random(seed, 'range');
  const rank = Math.min(r, a.rows, a.columns);
  const width = Math.min(rank + oversampling, a.rows, a.columns);
  const q = await range(products, a, width, iterations, random);
  const low = await products.multiply(q, a, { transA: true });
  const { vectors } = symmetricEigen(gramOfRows(low));
  const u = await products.multiply(q, rowsToColumns(vectors.slice(0, rank), width));
  return finished(a, await fromLeft(products, a, u), started, 'random', iterations);
}

/** An orthonormal basis [rows, width] of about the space in which A is largest. */
async function range(
  products: Products,
  a: Matrix,
  width: number,
  iterations: number,
  random: Random,
): Promise<Matrix> {
  const start = matrix(a.columns, width);
  for (let i = 0; i < start.data.length; i++) start.data[i] = random.normal();
  let q = orthonormalColumns(await products.multiply(a, start), random).q;
  for (let i = 0; i < iterations; i++) {
    const back = orthonormalColumns(await products.multiply(a, q, { transA: true }), random).q;
    q = orthonormalColumns(await products.multiply(a, back), random).q;
  }
  return q;
}

type Triplets = Pick<TruncatedSvd, 'u' | 'sigma' | 'vt'>;

/** From a basis of left directions [rows, k]: the singular triplets of A inside it. */
async function fromLeft(products: Products, a: Matrix, basis: Matrix): Promise<Triplets> {
  const low = await products.multiply(basis, a, { transA: true });
  const { values, vectors } = symmetricEigen(gramOfRows(low));
  const turn = rowsToColumns(vectors, basis.columns);
  const [u, vt] = [
    await products.multiply(basis, turn),
    await products.multiply(turn, low, { transA: true }),
  ];
  const sigma = values.map((value) => Math.sqrt(Math.max(0, value)));
  return { u, sigma, vt: normalised(vt, sigma) };
}

/** From a basis of right directions [columns, k]. */
async function fromRight(products: Products, a: Matrix, basis: Matrix): Promise<Triplets> {
  const low = transposed(await products.multiply(a, basis));
  const { values, vectors } = symmetricEigen(gramOfRows(low));
  const turn = rowsToColumns(vectors, basis.columns);
  const vt = await products.multiply(turn, basis, { transA: true, transB: true });
  const ut = await products.multiply(turn, low, { transA: true });
  const sigma = values.map((value) => Math.sqrt(Math.max(0, value)));
  return { u: transposed(normalised(ut, sigma)), sigma, vt };
}

/** Divides row i by σ_i; rows of a vanishing σ become zero, since their product is. */
function normalised(m: Matrix, sigma: Float64Array): Matrix {
  const largest = sigma[0] ?? 0;
  return scaleRows(
    m,
    Array.from(sigma, (value) => (value > 1e-12 * largest ? 1 / value : 0)),
  );
}

function rowsToColumns(vectors: readonly Float64Array[], rows: number): Matrix {
  const out = matrix(rows, vectors.length);
  vectors.forEach((vector, j) => {
    for (let i = 0; i < rows; i++) out.data[i * vectors.length + j] = vector[i]!;
  });
  return out;
}

function finished(
  a: Matrix,
  { u, sigma, vt }: Triplets,
  started: number,
  method: SvdReport['method'],
  rounds: number,
): TruncatedSvd {
  // ‖A − UUᵀA‖² = ‖A‖² − Σσ², since U is orthonormal and UᵀA = diag(σ)·Vᵀ.
  const whole = frobenius(a) ** 2;
  const kept = sigma.reduce((sum, value) => sum + value * value, 0);
  const relativeError = whole === 0 ? 0 : Math.sqrt(Math.max(0, whole - kept) / whole);
  return {
    u,
    sigma,
    vt,
    report: { method, seconds: (performance.now() - started) / 1000, relativeError, rounds },
  };
}

/** The first `count` triplets. */
export function truncated(svd: TruncatedSvd, count: number): Triplets {
  const u = block(svd.u, 0, svd.u.rows, 0, count);
  return { u, sigma: svd.sigma.slice(0, count), vt: block(svd.vt, 0, count) };
}
