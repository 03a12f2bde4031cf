// Orthonormal bases of the columns of tall matrices, in fp64 on the host. Knows no runtime.
import type { Random } from '../random';
import { type Matrix, matrix } from './matrix';

/** Below this share of its length, what is left of a column after projection is rounding noise. */
const negligible = 1e-6;

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
