// Truncated singular value decompositions: the largest or the smallest r. Small matrices go through all eigenvalues of
// their Gram matrix in fp64; large ones through a subspace, by random range finding (Halko, Martinsson and Tropp, 2011) or
// by subspace iteration with the Gram matrix or its inverse. All products run on the runtime.
import { Random } from '../random';
import { shiftedInverseCholesky } from './cholesky';
import { denseSize } from './decompositionMemory';
import { leadingSubspace, type Subspace } from './leadingSubspace';
import {
  block,
  type DoubleMatrix,
  doubleMatrix,
  frobenius,
  type Matrix,
  type Numbers,
  rounded,
  scaleColumns,
  scaleRows,
  transposed,
  widened,
} from './matrix';
import { orthonormalByProducts } from './orthonormal';
import type { Products } from './products';
import { gramOfRows, symmetricEigen, symmetricEigenByProducts } from './symmetric';

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
  method: 'dense' | 'random' | 'filtered' | 'inverse';
  seconds: number;
  /** ‖A − U·Uᵀ·A‖ / ‖A‖ in the Frobenius norm: what the r directions leave out. */
  relativeError: number;
  /** Rounds of the iteration; 0 for dense ones. */
  rounds: number;
}

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
  if (size <= denseSize) {
    const { values, vectors } = symmetricEigen(gramOfRows(wide ? a : transposed(a)));
    const chosen = end === 'top' ? vectors.slice(0, rank) : vectors.slice(size - rank);
    const sigma = values.map((value) => Math.sqrt(Math.max(0, value)));
    const basis = rowsToColumns(chosen, size);
    const result = wide ? await fromLeft(products, a, basis) : await fromRight(products, a, basis);
    const own = end === 'top' ? sigma.slice(0, rank) : sigma.slice(size - rank);
    return finished(a, { ...result, sigma: own }, started, 'dense', 0);
  }
  const found = await (end === 'top' ? largest : smallest)(products, a, rank, new Random(seed, 'svd'));
  const result = wide
    ? await fromLeft(products, a, found.vectors)
    : await fromRight(products, a, found.vectors);
  return finished(a, result, started, end === 'top' ? 'filtered' : 'inverse', found.rounds);
}

/** Eigenvectors of the Gram matrix of the smaller side, [size, r], in fp64 but for the products with it. */
async function largest(products: Products, a: Matrix, r: number, random: Random): Promise<Subspace> {
  const gram = rounded(await products.gram(a, a.rows > a.columns));
  const held = await products.holding(gram);
  try {
    return await leadingSubspace(
      products,
      {
        apply: async (x) => widened(await held.multiply(rounded(x))),
        n: gram.rows,
        r,
        spread: 1e3,
        weight: (value) => value,
        settled: 1e-5,
      },
      random,
    );
  } finally {
    held.release();
  }
}

/**
 * The same for the smallest: the largest of (LLᵀ)⁻¹, in fp64 throughout, since squares of small singular values are beyond
 * fp32 beside those of large ones. The shift, about fp64's rounding, lets singular matrices pass.
 */
async function smallest(products: Products, a: Matrix, r: number, random: Random): Promise<Subspace> {
  const gram = await products.gram(a, a.rows > a.columns);
  const factor = await shiftedInverseCholesky(products, gram, Number.EPSILON);
  const held = await products.holding(factor);
  try {
    return await leadingSubspace(
      products,
      {
        apply: async (x) => held.multiply(await held.multiply(x), true),
        n: gram.rows,
        r,
        spread: 1e8,
        // The energy that the directions span is what the start takes out of the weight.
        weight: (value) => 1 / value,
        settled: 1e-3,
      },
      random,
    );
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
  const found = await fromLeft(products, a, q);
  return finished(a, truncated(found, rank), started, 'random', iterations);
}

/** An orthonormal basis [rows, width] of about the space in which A is largest. */
async function range(
  products: Products,
  a: Matrix,
  width: number,
  iterations: number,
  random: Random,
): Promise<DoubleMatrix> {
  const start = doubleMatrix(a.columns, width);
  for (let i = 0; i < start.data.length; i++) start.data[i] = random.normal();
  const image = async (x: DoubleMatrix, transA: boolean): Promise<DoubleMatrix> =>
    orthonormalByProducts(products, widened(await products.multiply(a, rounded(x), { transA })), random);
  let q = await image(start, false);
  for (let i = 0; i < iterations; i++) q = await image(await image(q, true), false);
  return q;
}

type Triplets = Pick<TruncatedSvd, 'u' | 'sigma' | 'vt'>;

/** From a basis of left directions [rows, k]: the singular triplets of A inside it. */
async function fromLeft(products: Products, a: Matrix, basis: DoubleMatrix): Promise<Triplets> {
  const low = await products.multiply(basis, a, { transA: true });
  const { sigma, turn } = await turned(products, low);
  const u = await products.multiply(basis, turn);
  const vt = await products.multiply(turn, low, { transA: true });
  return { u: rounded(u), sigma, vt: rounded(scaleRows(vt, reciprocals(sigma))) };
}

/** From a basis of right directions [columns, k]. */
async function fromRight(products: Products, a: Matrix, basis: DoubleMatrix): Promise<Triplets> {
  const low = await products.multiply(a, basis);
  const { sigma, turn } = await turned(products, low, true);
  const vt = transposed(await products.multiply(basis, turn));
  const u = await products.multiply(low, turn);
  return { u: rounded(scaleColumns(u, reciprocals(sigma))), sigma, vt: rounded(vt) };
}

/** Singular values of a matrix with few rows (or columns), and its singular vectors on that side as columns. */
async function turned(
  products: Products,
  low: Matrix<Numbers>,
  columns = false,
): Promise<{ sigma: Float64Array; turn: DoubleMatrix }> {
  const { values, vectors } = await symmetricEigenByProducts(products, await products.gram(low, columns));
  return { sigma: values.map((value) => Math.sqrt(Math.max(0, value))), turn: vectors };
}

/** 1/σ; zero for a vanishing σ, since its product is. */
function reciprocals(sigma: Float64Array): Float64Array {
  const largest = sigma[0] ?? 0;
  return sigma.map((value) => (value > 1e-12 * largest ? 1 / value : 0));
}

function rowsToColumns(vectors: readonly Float64Array[], rows: number): DoubleMatrix {
  const out = doubleMatrix(rows, vectors.length);
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
export function truncated(svd: Triplets, count: number): Triplets {
  const u = block(svd.u, 0, svd.u.rows, 0, count);
  return { u, sigma: svd.sigma.slice(0, count), vt: block(svd.vt, 0, count) };
}
