// init_lora_weights: orthogonal. A = (R1·Q_odd)ᵀ/10, B = R2ᵀ·Q_even/10 with Q orthogonal: BA = 0 while both factors are
// non-zero.
import type { Random } from '../../random';
import type { Initialisation } from './initialisation';

export const orthogonal: Initialisation = {
  entry: {
    id: 'orthogonal',
    label: 'A and B from orthogonal halves, BA zero',
    summary: 'Starts at the base model with both matrices non-zero; needs an even r.',
    fields: [],
    check: ({ r, rank_pattern }) =>
      [
        ['r', r] as const,
        ...Object.entries(rank_pattern).map(([key, rank]) => [`rank_pattern.${key}`, rank] as const),
      ]
        .filter(([, rank]) => rank % 2 !== 0)
        .map(([where, rank]) => ({
          where,
          message: `init_lora_weights: orthogonal needs an even rank, found ${rank}.`,
          remedy: `Set ${where}: ${rank + 1}, or another init_lora_weights.`,
        })),
  },
  factors: (random, r, inFeatures, outFeatures) => {
    const q = orthogonalMatrix(random, r);
    const half = r / 2;
    const a = new Float32Array(r * inFeatures);
    const b = new Float32Array(outFeatures * r);
    // Rows 0, 2, … of Q span the space of B's rows, rows 1, 3, … that of A's columns; they are orthogonal to each other.
    mix(
      random,
      inFeatures,
      half,
      (k, i) => q[2 * k + 1]![i]!,
      r,
      (row, i, value) => {
        a[i * inFeatures + row] = value / 10;
      },
    );
    mix(
      random,
      outFeatures,
      half,
      (k, i) => q[2 * k]![i]!,
      r,
      (row, i, value) => {
        b[row * r + i] = value / 10;
      },
    );
    return { a, b };
  },
};

/** Multiplies a Gaussian [rows, half] by `half` rows of an orthogonal matrix and hands out the product's entries. */
function mix(
  random: Random,
  rows: number,
  half: number,
  entry: (k: number, i: number) => number,
  r: number,
  put: (row: number, i: number, value: number) => void,
): void {
  for (let row = 0; row < rows; row++) {
    const weights = Array.from({ length: half }, () => random.normal());
    for (let i = 0; i < r; i++)
      put(
        row,
        i,
        weights.reduce((sum, w, k) => sum + w * entry(k, i), 0),
      );
  }
}

/** A random orthogonal matrix, rows orthonormal, by Gram and Schmidt on Gaussian rows (twice, for accuracy). */
function orthogonalMatrix(random: Random, r: number): number[][] {
  const rows: number[][] = [];
  for (let i = 0; i < r; i++) {
    const row = Array.from({ length: r }, () => random.normal());
    for (let pass = 0; pass < 2; pass++) {
      for (const other of rows) {
        const overlap = row.reduce((sum, x, j) => sum + x * other[j]!, 0);
        for (let j = 0; j < r; j++) row[j]! -= overlap * other[j]!;
      }
    }
    const length = Math.hypot(...row);
    rows.push(row.map((x) => x / length));
  }
  return rows;
}
