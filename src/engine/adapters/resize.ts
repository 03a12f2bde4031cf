// An update of another rank: the closest ΔW′ = b′·a′ of rank r′ to ΔW = b·a (Eckart and Young), by a singular value
// decomposition of r by r. Knows no files and no runtime.
import { Matrix as Dense, SingularValueDecomposition } from 'ml-matrix';
import { type Matrix, matrix, transposed } from '../linalg/matrix';
import { orthonormalColumns } from '../linalg/orthonormal';
import type { Random } from '../random';
import type { LoraForm } from './variant';

/** What decides the new rank of a module. */
export type RankChoice = { rank: number } | { energy: number };

export interface Resized {
  form: LoraForm;
  /** ‖ΔW − ΔW′‖ / ‖ΔW‖; 0 for an update that is zero. */
  relativeError: number;
  /** Σσ² of ΔW and of what was left out. */
  energy: number;
  lost: number;
}

/**
 * The update with the `rank` largest singular values, or with as many as hold the share `energy` of Σσ². A rank beyond the
 * update's own adds directions that say nothing yet: random rows in a, zeros in b, as LoRA starts.
 * Both factors take the root of the singular values.
 */
export function resizeForm(form: LoraForm, inFeatures: number, choice: RankChoice, random: Random): Resized {
  const outFeatures = form.b.length / form.rank;
  const left = thin(matrix(outFeatures, form.rank, form.b), random);
  const right = thin(transposed(matrix(form.rank, inFeatures, form.a)), random);
  // b·a = Qb·(Rb·Raᵀ)·Qaᵀ
  const svd = new SingularValueDecomposition(left.r.mmul(right.r.transpose()), { autoTranspose: true });
  const sigma = svd.diagonal;
  const energy = sigma.reduce((sum, value) => sum + value * value, 0);
  const rank = Math.max(1, 'rank' in choice ? choice.rank : rankFor(sigma, energy, choice.energy));
  const kept = Math.min(rank, sigma.length);
  const lost = sigma.slice(kept).reduce((sum, value) => sum + value * value, 0);
  const a = new Float32Array(rank * inFeatures);
  const b = new Float32Array(outFeatures * rank);
  const [u, v] = [svd.leftSingularVectors, svd.rightSingularVectors];
  for (let k = 0; k < kept; k++) {
    const root = Math.sqrt(sigma[k]!);
    left.columnOf(u, k, (i, value) => {
      b[i * rank + k] = root * value;
    });
    right.columnOf(v, k, (j, value) => {
      a[k * inFeatures + j] = root * value;
    });
  }
  for (let k = kept; k < rank; k++)
    for (let j = 0; j < inFeatures; j++) a[k * inFeatures + j] = random.normal() / Math.sqrt(inFeatures);
  return {
    form: { rank, a, b, ...(form.bias === undefined ? {} : { bias: form.bias }) },
    relativeError: energy === 0 ? 0 : Math.sqrt(lost / energy),
    energy,
    lost,
  };
}

/** The least rank whose singular values hold a share of Σσ². */
function rankFor(sigma: readonly number[], energy: number, share: number): number {
  let sum = 0;
  for (const [k, value] of sigma.entries()) {
    sum += value * value;
    if (sum >= share * energy * (1 - 1e-12)) return k + 1;
  }
  return sigma.length;
}

/** x = Q·R; where x is wider than tall Q is the identity. */
function thin(x: Matrix, random: Random) {
  const { rows, columns } = x;
  const q = columns <= rows ? orthonormalColumns(x, random).q : undefined;
  const r =
    q === undefined
      ? new Dense(
          Array.from({ length: rows }, (_, i) => Array.from(x.data.subarray(i * columns, (i + 1) * columns))),
        )
      : Dense.zeros(columns, columns);
  if (q !== undefined) {
    const sums = new Float64Array(columns * columns);
    for (let at = 0; at < x.data.length; at += columns)
      for (let i = 0; i < columns; i++)
        for (let j = 0; j < columns; j++) sums[i * columns + j]! += q.data[at + i]! * x.data[at + j]!;
    for (let i = 0; i < columns; i++) for (let j = 0; j < columns; j++) r.set(i, j, sums[i * columns + j]!);
  }
  return {
    r,
    /** Column k of Q·m, entry by entry. */
    columnOf(m: Dense, k: number, put: (row: number, value: number) => void): void {
      for (let i = 0; i < rows; i++) {
        let sum = 0;
        if (q === undefined) sum = m.get(i, k);
        else for (let c = 0; c < columns; c++) sum += q.data[i * columns + c]! * m.get(c, k);
        put(i, sum);
      }
    },
  };
}
