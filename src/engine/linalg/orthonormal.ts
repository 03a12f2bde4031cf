// Orthonormal bases of the columns of tall matrices, in fp64: on the host, or by products on the runtime.
import type { Random } from '../random';
import { inverseCholesky, shiftedInverseCholesky } from './cholesky';
import { type DoubleMatrix, doubleMatrix, type Matrix, matrix, scaleColumns } from './matrix';
import type { Products } from './products';

/** Below this share of its length, what is left of a column after projection is rounding noise. */
const negligible = 1e-6;
/** Length of the noise that is added to dependent columns, of unit length. */
const noise = 1e-7;

export interface ThinBasis {
  /** [rows, columns], orthonormal columns that span those of the input. */
  q: Matrix;
  /** Columns that depended on earlier ones and were replaced by random directions. */
  replaced: number;
}

/**
 * Gram and Schmidt, each column projected twice, which keeps the basis orthonormal to rounding. The span of the first j
 * columns is that of the input's first j columns, as with Householder's QR; signs are those of the input.
 * @param x [rows, columns] with columns ≤ rows.
 */
export function orthonormalColumns(x: Matrix, random: Random): ThinBasis {
  const { rows, columns } = x;
  const basis: Float64Array[] = [];
  let replaced = 0;
  for (let j = 0; j < columns; j++) {
    const column = Float64Array.from({ length: rows }, (_, i) => x.data[i * columns + j]!);
    let before = length(column);
    project(column, basis);
    let after = length(column);
    if (!(after > negligible * before)) {
      replaced++;
      do {
        for (let i = 0; i < rows; i++) column[i] = random.normal();
        before = length(column);
        project(column, basis);
        after = length(column);
      } while (!(after > negligible * before));
    }
    for (let i = 0; i < rows; i++) column[i]! /= after;
    basis.push(column);
  }
  const q = matrix(rows, columns);
  basis.forEach((column, j) => {
    for (let i = 0; i < rows; i++) q.data[i * columns + j] = column[i]!;
  });
  return { q, replaced };
}

/**
 * The same for many columns, in fp64 by Cholesky factors of their Gram matrix with the products on the runtime, twice, which
 * keeps the basis orthonormal to rounding. Columns that depend on others are moved by noise first, 1e-7 of their length.
 */
export async function orthonormalByProducts(
  products: Products,
  x: DoubleMatrix,
  random: Random,
): Promise<DoubleMatrix> {
  let q = unitColumns(x, random);
  for (let pass = 0; ; ) {
    const factor = await inverseCholesky(products, await products.multiply(q, q, { transA: true }));
    if (factor) {
      q = await products.multiply(q, factor, { transB: true });
      if (++pass === 2) return q;
      continue;
    }
    // With noise of this size the Gram matrix has eigenvalues of about 1e-14 at least, which the first pass brings to one.
    const size = noise / Math.sqrt(q.rows);
    for (let i = 0; i < q.data.length; i++) q.data[i]! += size * random.normal();
    const gram = await products.multiply(q, q, { transA: true });
    q = await products.multiply(q, await shiftedInverseCholesky(products, gram, 1e-15), { transB: true });
    pass = 0;
  }
}

/** Every column divided by its length; a column of zeros becomes a random one. */
function unitColumns({ rows, columns, data }: DoubleMatrix, random: Random): DoubleMatrix {
  const out = doubleMatrix(rows, columns, data.slice());
  const lengths = new Float64Array(columns);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++) lengths[j]! += out.data[i * columns + j]! ** 2;
  for (let j = 0; j < columns; j++) {
    if (lengths[j]! > 0) continue;
    for (let i = 0; i < rows; i++) {
      out.data[i * columns + j] = random.normal();
      lengths[j]! += out.data[i * columns + j]! ** 2;
    }
  }
  return scaleColumns(
    out,
    lengths.map((square) => 1 / Math.sqrt(square)),
  );
}

/** Takes out of `column` what lies in the basis, twice. */
function project(column: Float64Array, basis: readonly Float64Array[]): void {
  for (let pass = 0; pass < 2; pass++) {
    for (const other of basis) {
      let overlap = 0;
      for (let i = 0; i < column.length; i++) overlap += column[i]! * other[i]!;
      for (let i = 0; i < column.length; i++) column[i]! -= overlap * other[i]!;
    }
  }
}

function length(x: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < x.length; i++) sum += x[i]! * x[i]!;
  return Math.sqrt(sum);
}
