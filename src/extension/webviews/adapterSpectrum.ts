// Singular values of ΔW = b·a without the product, and norms of a tensor. Numbers in, numbers out.
import { EigenvalueDecomposition, Matrix } from 'ml-matrix';

/** x·xᵀ of x [rows, columns], row-major, in double precision. Four products at a time: the row is read once for them. */
export function rowGram(x: Float32Array, rows: number): Float64Array {
  const columns = x.length / rows;
  const gram = new Float64Array(rows * rows);
  for (let i = 0; i < rows; i++) {
    const own = i * columns;
    let j = 0;
    for (; j + 3 <= i; j += 4) {
      const [a, b] = [j * columns, (j + 1) * columns];
      const [c, d] = [(j + 2) * columns, (j + 3) * columns];
      let [s, t, u, v] = [0, 0, 0, 0];
      for (let k = 0; k < columns; k++) {
        const value = x[own + k]!;
        s += value * x[a + k]!;
        t += value * x[b + k]!;
        u += value * x[c + k]!;
        v += value * x[d + k]!;
      }
      gram.set([s, t, u, v], i * rows + j);
    }
    for (; j <= i; j++) {
      let sum = 0;
      for (let k = 0; k < columns; k++) sum += x[own + k]! * x[j * columns + k]!;
      gram[i * rows + j] = sum;
    }
  }
  return mirrored(gram, rows);
}

/** xᵀ·x of x [rows, columns], row-major. Four rows at a time: each sum is read and written once for them. */
export function columnGram(x: Float32Array, columns: number): Float64Array {
  const gram = new Float64Array(columns * columns);
  const rows = x.length / columns;
  const end = (rows - (rows % 4)) * columns;
  let at = 0;
  for (; at < end; at += 4 * columns) {
    const [second, third, fourth] = [at + columns, at + 2 * columns, at + 3 * columns];
    for (let i = 0; i < columns; i++) {
      const a = x[at + i]!;
      const b = x[second + i]!;
      const c = x[third + i]!;
      const d = x[fourth + i]!;
      for (let j = 0; j <= i; j++)
        gram[i * columns + j]! +=
          a * x[at + j]! + b * x[second + j]! + c * x[third + j]! + d * x[fourth + j]!;
    }
  }
  for (; at < x.length; at += columns)
    for (let i = 0; i < columns; i++)
      for (let j = 0; j <= i; j++) gram[i * columns + j]! += x[at + i]! * x[at + j]!;
  return mirrored(gram, columns);
}

function mirrored(gram: Float64Array, n: number): Float64Array {
  for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) gram[j * n + i] = gram[i * n + j]!;
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
  let [squares, others, total, rest, largest] = [0, 0, 0, 0, 0];
  const even = x.length - (x.length % 2);
  for (let i = 0; i < even; i += 2) {
    const a = Math.abs(x[i]!);
    const b = Math.abs(x[i + 1]!);
    squares += a * a;
    others += b * b;
    total += a;
    rest += b;
    if (a > largest) largest = a;
    if (b > largest) largest = b;
  }
  if (even < x.length) {
    const last = Math.abs(x[even]!);
    squares += last * last;
    total += last;
    if (last > largest) largest = last;
  }
  // Sums of float32 values do not overflow in double precision: one that is not finite holds a value that is not.
  if (!Number.isFinite(total + rest)) return finiteMagnitudes(x);
  return {
    norm: Math.sqrt(squares + others),
    mean: x.length === 0 ? 0 : (total + rest) / x.length,
    largest,
    notFinite: 0,
  };
}

function finiteMagnitudes(x: Float32Array): Magnitudes {
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
