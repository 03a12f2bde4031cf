// Eigenvalues of symmetric matrices in fp64: of small ones by the library on the host, of larger ones by halves with products on the
// runtime.
import { Matrix as Dense, EigenvalueDecomposition } from 'ml-matrix';
import { Random } from '../random';
import { type DoubleMatrix, doubleMatrix, frobenius, type Matrix, put, transposed } from './matrix';
import { orthonormalByProducts } from './orthonormal';
import type { Products } from './products';

export interface Eigen {
  /** From the largest down. */
  values: Float64Array;
  /** values.length rows of n: the eigenvectors in the order of `values`, each of length 1. */
  vectors: Float64Array[];
}

/** All eigenvalues and eigenvectors of a symmetric [n, n] matrix. Practical up to some hundred rows. */
export function symmetricEigen(rows: readonly Float64Array[]): Eigen {
  const n = rows.length;
  if (n === 0) return { values: new Float64Array(0), vectors: [] };
  const decomposition = new EigenvalueDecomposition(new Dense(rows.map((row) => Array.from(row))), {
    assumeSymmetric: true,
  });
  // The library sorts upwards.
  const real = decomposition.realEigenvalues;
  const order = real.map((_, i) => i).sort((a, b) => real[b]! - real[a]!);
  const columns = decomposition.eigenvectorMatrix;
  return {
    values: Float64Array.from(order, (i) => real[i]!),
    vectors: order.map((i) => Float64Array.from({ length: n }, (_, row) => columns.get(row, i))),
  };
}

/** a·aᵀ of a matrix with few rows, in fp64. */
export function gramOfRows(a: Matrix): Float64Array[] {
  const { rows, columns, data } = a;
  const gram = Array.from({ length: rows }, () => new Float64Array(rows));
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = 0;
      for (let k = 0, p = i * columns, q = j * columns; k < columns; k++) sum += data[p + k]! * data[q + k]!;
      gram[i]![j] = sum;
      gram[j]![i] = sum;
    }
  }
  return gram;
}

/** Matrices up to this size are left to the library, whose time grows fast beyond. */
const librarySize = 384;

export interface LargeEigen {
  /** From the largest down. */
  values: Float64Array;
  /** [n, n]: column i belongs to values[i]. */
  vectors: DoubleMatrix;
}

/**
 * All eigenvalues and eigenvectors of a symmetric matrix. Large ones are divided into the directions above and below a value,
 * which the sign of S − σI tells apart; almost all work is products (Nakatsukasa and Higham, 2013).
 */
export async function symmetricEigenByProducts(products: Products, s: DoubleMatrix): Promise<LargeEigen> {
  const n = s.rows;
  const data = s.data.map((x, at) => (x + s.data[(at % n) * n + Math.floor(at / n)]!) / 2);
  const { values, vectors } = await divided(products, doubleMatrix(n, n, data), rounding * frobenius(s));
  const order = Array.from(values, (_, i) => i).sort((a, b) => values[b]! - values[a]!);
  const sorted = doubleMatrix(n, n);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < n; j++) sorted.data[i * n + j] = vectors.data[i * n + order[j]!]!;
  return { values: Float64Array.from(order, (i) => values[i]!), vectors: sorted };
}

/** Share of the whole matrix's norm that rounding leaves. */
const rounding = 1e-15;
/** Products with which a sign has converged for certain, unless σ is an eigenvalue. */
const mostRounds = 40;
/** Where along the diagonal, in order, σ is taken from. */
const cuts = [0.5, 0.35, 0.65];

/** The same in no order. @param negligible norm of what counts as zero. */
async function divided(products: Products, s: DoubleMatrix, negligible: number): Promise<LargeEigen> {
  const n = s.rows;
  if (diagonal(s, negligible)) return { values: diagonalOf(s), vectors: identity(n) };
  const parts = n <= librarySize ? undefined : await separated(products, s);
  if (!parts) {
    const { values, vectors } = symmetricEigen(rowsOf(s));
    return {
      values,
      vectors: transposed(doubleMatrix(n, n, Float64Array.from(vectors.flatMap((v) => [...v])))),
    };
  }
  const values = new Float64Array(n);
  const vectors = doubleMatrix(n, n);
  let at = 0;
  for (const basis of parts) {
    const inner = await products.multiply(basis, await products.multiply(s, basis), { transA: true });
    const found = await divided(products, inner, negligible);
    values.set(found.values, at);
    put(vectors, await products.multiply(basis, found.vectors), 0, at);
    at += basis.columns;
  }
  return { values, vectors };
}

/** Orthonormal bases of the directions above and below some σ; undefined where no σ that was tried parts them. */
async function separated(products: Products, s: DoubleMatrix): Promise<DoubleMatrix[] | undefined> {
  const n = s.rows;
  const random = new Random(n, 'halves');
  const rising = diagonalOf(s).sort();
  // Values that rounding decides are not parted from each other, but all of them from the rest.
  const least = 1e-7 * Math.max(-rising[0]!, rising[n - 1]!);
  for (const cut of cuts) {
    const middle = rising[Math.floor(cut * n)]!;
    const sign = await signOf(products, s, Math.abs(middle) < least ? least : middle);
    if (!sign) continue;
    const above = Math.round((n + diagonalOf(sign).reduce((sum, x) => sum + x, 0)) / 2);
    if (above === 0 || above === n) continue;
    // (I + sign)/2 takes everything above σ to itself; what is orthogonal to that lies below.
    const start = normalMatrix(n, above, random);
    const image = await products.multiply(sign, start);
    for (let i = 0; i < start.data.length; i++) start.data[i]! += image.data[i]!;
    const upper = await orthonormalByProducts(products, start, random);
    let lower = normalMatrix(n, n - above, random);
    for (let pass = 0; pass < 2; pass++) {
      const inside = await products.multiply(upper, lower, { transA: true });
      const taken = await products.multiply(upper, inside);
      for (let i = 0; i < lower.data.length; i++) lower.data[i]! -= taken.data[i]!;
      lower = await orthonormalByProducts(products, lower, random);
    }
    return [upper, lower];
  }
  return undefined;
}

/**
 * The sign of S − σI by Newton and Schulz, X ← ρX(3I − ρ²X²)/2, with the ρ that raises the least value most (Chen and Chow,
 * 2014). Undefined where an eigenvalue is too close to σ.
 */
async function signOf(products: Products, s: DoubleMatrix, sigma: number): Promise<DoubleMatrix | undefined> {
  const n = s.rows;
  let x = doubleMatrix(n, n, s.data.slice());
  for (let i = 0; i < n; i++) x.data[i * n + i]! -= sigma;
  const bound = Math.min(frobenius(x), largestRow(x));
  if (!(bound > 0)) return undefined;
  for (let i = 0; i < x.data.length; i++) x.data[i]! /= bound;
  // A guess of the least value; where it is smaller, some rounds more are needed.
  let least = 1e-4;
  for (let round = 0; round < mostRounds; round++) {
    const square = await products.multiply(x, x);
    let off = 0;
    for (let i = 0; i < n; i++)
      for (let j = 0; j < n; j++) off += (square.data[i * n + j]! - (i === j ? 1 : 0)) ** 2;
    const last = off < 1e-16;
    const rho = last ? 1 : Math.sqrt(3 / (1 + least + least * least));
    least *= (rho * (3 - rho * rho * least * least)) / 2;
    for (let i = 0; i < square.data.length; i++) square.data[i]! *= -(rho ** 3) / 2;
    for (let i = 0; i < n; i++) square.data[i * n + i]! += 1.5 * rho;
    x = await products.multiply(x, square);
    // Each round squares what is left.
    if (last) return x;
  }
  return undefined;
}

function normalMatrix(rows: number, columns: number, random: Random): DoubleMatrix {
  const out = doubleMatrix(rows, columns);
  for (let i = 0; i < out.data.length; i++) out.data[i] = random.normal();
  return out;
}

/** The largest sum of sizes along a row, which no eigenvalue exceeds. */
function largestRow({ rows: n, data }: DoubleMatrix): number {
  let most = 0;
  for (let i = 0; i < n; i++) {
    let sum = 0;
    for (let j = 0; j < n; j++) sum += Math.abs(data[i * n + j]!);
    most = Math.max(most, sum);
  }
  return most;
}

function diagonal({ rows: n, data }: DoubleMatrix, negligible: number): boolean {
  let off = 0;
  for (let i = 0; i < n; i++) for (let j = 0; j < n; j++) if (i !== j) off += data[i * n + j]! ** 2;
  return Math.sqrt(off) <= negligible;
}

function diagonalOf({ rows: n, data }: DoubleMatrix): Float64Array {
  return Float64Array.from({ length: n }, (_, i) => data[i * n + i]!);
}

function identity(n: number): DoubleMatrix {
  const out = doubleMatrix(n, n);
  for (let i = 0; i < n; i++) out.data[i * n + i] = 1;
  return out;
}

function rowsOf(s: DoubleMatrix): Float64Array[] {
  return Array.from({ length: s.rows }, (_, i) => s.data.subarray(i * s.rows, (i + 1) * s.rows));
}
