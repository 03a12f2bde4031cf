// Singular values of ΔW = b·a without the product, and norms of a tensor. Numbers in, numbers out.
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';

/** x·xᵀ of x [rows, columns], row-major, in double precision. */
export function rowGram(x: Float32Array, rows: number): Float64Array {
  const columns = x.length / rows;
  const gram = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) {
    for (let j = 0; j <= i; j++) {
      const [a, b] = [i * columns, j * columns];
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += x[a + k]! * x[b + k]!;
      gram[i * rows + j] = sum;
      gram[j * rows + i] = sum;
    }
  }
  return gram;
}

/** xᵀ·x of x [rows, columns], row-major. */
export function columnGram(x: Float32Array, columns: number): Float64Array {
  const gram = new Float64Array(columns * columns);
  for (let at = 0; at < x.length; at += columns) {
    for (let i = 0; i < columns; i++) {
      const value = x[at + i]!;
      if (value === 0) continue;
      for (let j = 0; j <= i; j++) gram[i * columns + j]! += value * x[at + j]!;
    }
  }
  for (let i = 0; i < columns; i++)
    for (let j = 0; j < i; j++) gram[j * columns + i] = gram[i * columns + j]!;
  return gram;
}

export interface Spectrum {
  /** Largest first, as many as the rank. */
  sigma: number[];
  /** ‖b·a‖, by tr((bᵀb)(aaᵀ)). */
  norm: number;
}

/**
 * Singular values of b·a for b [out, r] and a [r, in]. With aaᵀ = VΛVᵀ they are the square roots of the eigenvalues of
 * Λ^½Vᵀ(bᵀb)VΛ^½, a symmetric matrix of r by r. Values under about 1e-8 of the largest are rounding.
 */
export function spectrumOfProduct(b: Float32Array, a: Float32Array, r: number): Spectrum {
  const left = columnGram(b, r);
  const right = rowGram(a, r);
  let trace = 0;
  for (let i = 0; i < left.length; i++) trace += left[i]! * right[i]!;
  // Rounding may leave a sum of nothing a little below zero.
  const norm = Math.sqrt(Math.max(0, trace));
  if (norm === 0) return { sigma: new Array<number>(r).fill(0), norm };
  const square = (gram: Float64Array): Matrix => Matrix.from1DArray(r, r, gram);
  const options = { assumeSymmetric: true };
  const { eigenvectorMatrix: v, realEigenvalues } = new EigenvalueDecomposition(square(right), options);
  const root = realEigenvalues.map((value) => Math.sqrt(Math.max(0, value)));
  const inner = v.transpose().mmul(square(left)).mmul(v);
  for (let i = 0; i < r; i++) {
    for (let j = 0; j <= i; j++) {
      // Both halves from one value: the decomposition takes symmetry for granted.
      const value = inner.get(i, j) * root[i]! * root[j]!;
      inner.set(i, j, value);
      inner.set(j, i, value);
    }
  }
  const values = new EigenvalueDecomposition(inner, options).realEigenvalues;
  const sigma = values.map((value) => Math.sqrt(Math.max(0, value))).sort((x, y) => y - x);
  return { sigma, norm };
}

export interface Magnitudes {
  norm: number;
  mean: number;
  largest: number;
  notFinite: number;
}

/** ‖x‖, mean |x|, max |x| over the finite values, and how many are not finite. */
export function magnitudes(x: Float32Array): Magnitudes {
  let squares = 0;
  let total = 0;
  let largest = 0;
  let notFinite = 0;
  for (let i = 0; i < x.length; i++) {
    const value = Math.abs(x[i]!);
    if (!(value < Infinity)) {
      notFinite++;
      continue;
    }
    squares += value * value;
    total += value;
    if (value > largest) largest = value;
  }
  return { norm: Math.sqrt(squares), mean: x.length === 0 ? 0 : total / x.length, largest, notFinite };
}
