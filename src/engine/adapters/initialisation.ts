// Start values of LoRA's A and B, by the names of PEFT's init_lora_weights (peft.tuners.lora.layer).
import type { Random } from '../random';
import type { CatalogueEntry } from '../recipe/catalogue';

/** Start values of one adapted linear module: a [r, in], b [out, r]. */
export interface Initialisation {
  entry: CatalogueEntry;
  factors(
    random: Random,
    r: number,
    inFeatures: number,
    outFeatures: number,
  ): { a: Float32Array; b: Float32Array };
}

const uniform = (random: Random, count: number, bound: number): Float32Array =>
  Float32Array.from({ length: count }, () => (2 * random.uniform() - 1) * bound);
const normal = (random: Random, count: number, deviation: number): Float32Array =>
  Float32Array.from({ length: count }, () => random.normal() * deviation);

/** Kaiming uniform with a = √5, which is U(−1/√in, 1/√in); B = 0. */
const kaiming: Initialisation = {
  entry: {
    id: true,
    label: 'A uniform (Kaiming), B zero',
    summary: "PEFT's default: training starts at the base model.",
    fields: [],
  },
  factors: (random, r, inFeatures, outFeatures) => ({
    a: uniform(random, r * inFeatures, 1 / Math.sqrt(inFeatures)),
    b: new Float32Array(outFeatures * r),
  }),
};

/** A ~ N(0, 1/r²), B = 0. */
const gaussian: Initialisation = {
  entry: {
    id: 'gaussian',
    label: 'A normal with deviation 1/r, B zero',
    summary: 'Training starts at the base model.',
    fields: [],
  },
  factors: (random, r, inFeatures, outFeatures) => ({
    a: normal(random, r * inFeatures, 1 / r),
    b: new Float32Array(outFeatures * r),
  }),
};

/** A = (R1·Q_odd)ᵀ/10, B = R2ᵀ·Q_even/10 with Q orthogonal: BA = 0 while both factors are non-zero. */
const orthogonal: Initialisation = {
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

/** A as by default, B ~ U(−1/√r, 1/√r): the model does not start at the base model. */
const off: Initialisation = {
  entry: {
    id: false,
    label: 'A and B uniform',
    summary: 'For tests: the model does not start at the base model.',
    fields: [],
  },
  factors: (random, r, inFeatures, outFeatures) => ({
    a: uniform(random, r * inFeatures, 1 / Math.sqrt(inFeatures)),
    b: uniform(random, outFeatures * r, 1 / Math.sqrt(r)),
  }),
};

export const initialisations: readonly Initialisation[] = [kaiming, gaussian, orthogonal, off];

export function initialisationOf(id: boolean | string): Initialisation {
  return initialisations.find((i) => i.entry.id === id) ?? kaiming;
}

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
