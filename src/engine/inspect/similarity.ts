// How alike two updates ΔW = b·a are: the angle between them, and the overlap of their subspaces as in the LoRA paper
// (arXiv 2106.09685, section 7.2): φ(i, j) = ‖U₁ᵢᵀ·U₂ⱼ‖² / min(i, j), 0 for subspaces at right angles, 1 where one lies in
// the other. Everything comes out of products of r by r; the matrices themselves are never formed.
import type { LoraForm } from '../adapters/variant';
import { symmetricEigen } from '../linalg/symmetric';

export interface Similarity {
  /** Of ΔW₁ and ΔW₂ as vectors; null where one of them is zero. */
  cosine: number | null;
  /** φ of the rows of a (what the adapters look at) and of the columns of b (what they write), over all directions. */
  a: number | null;
  b: number | null;
}

/** Directions below this share of the strongest are rounding. */
const negligible = 1e-6;

/** x·yᵀ of x [m, n], y [k, n] in double precision, m rows of k. */
function cross(x: Float32Array, m: number, y: Float32Array, k: number): Float64Array[] {
  const n = x.length / m;
  return Array.from({ length: m }, (_, i) =>
    Float64Array.from({ length: k }, (_, j) => {
      let sum = 0;
      for (let at = 0, p = i * n, q = j * n; at < n; at++) sum += x[p + at]! * y[q + at]!;
      return sum;
    }),
  );
}

/** xᵀ as rows: x [rows, columns]. */
function turned(x: Float32Array, columns: number): Float32Array {
  const rows = x.length / columns;
  const out = new Float32Array(x.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = x[i * columns + j]!;
  return out;
}

/** Rows of Λ^-½·Vᵀ over the directions that are there: what makes x's rows orthonormal. */
function whitening(gram: readonly Float64Array[]): Float64Array[] {
  const { values, vectors } = symmetricEigen(gram);
  const largest = values[0] ?? 0;
  return vectors.flatMap((vector, i) => {
    const value = values[i]!;
    if (!(value > negligible ** 2 * largest)) return [];
    return [vector.map((entry) => entry / Math.sqrt(value))];
  });
}

/** φ over all directions of the rows of x [m, n] and y [k, n]; null where one has none. */
export function subspaceOverlap(x: Float32Array, m: number, y: Float32Array, k: number): number | null {
  const [left, right] = [whitening(cross(x, m, x, m)), whitening(cross(y, k, y, k))];
  const least = Math.min(left.length, right.length);
  if (least === 0) return null;
  const between = cross(x, m, y, k);
  let squares = 0;
  for (const u of left) {
    const row = Float64Array.from({ length: k }, (_, j) =>
      u.reduce((sum, entry, i) => sum + entry * between[i]![j]!, 0),
    );
    for (const v of right) squares += v.reduce((sum, entry, j) => sum + entry * row[j]!, 0) ** 2;
  }
  return Math.min(1, squares / least);
}

/** ⟨b₁a₁, b₂a₂⟩ = tr((b₁ᵀb₂)(a₂a₁ᵀ)). `bT` are the columns of b as rows. */
function inner(one: Turned, other: Turned): number {
  const aa = cross(one.a, one.rank, other.a, other.rank);
  const bb = cross(one.bT, one.rank, other.bT, other.rank);
  let sum = 0;
  for (let i = 0; i < one.rank; i++) for (let j = 0; j < other.rank; j++) sum += aa[i]![j]! * bb[i]![j]!;
  return sum;
}

interface Turned {
  a: Float32Array;
  bT: Float32Array;
  rank: number;
}

const prepare = ({ a, b, rank }: LoraForm): Turned => ({ a, bT: turned(b, rank), rank });

/** Norms and likeness of the updates of one module by two adapters. */
export function similarity(one: LoraForm, other: LoraForm): Similarity {
  const [x, y] = [prepare(one), prepare(other)];
  if (x.rank === 0 || y.rank === 0) return { cosine: null, a: null, b: null };
  const [xx, yy] = [Math.sqrt(Math.max(0, inner(x, x))), Math.sqrt(Math.max(0, inner(y, y)))];
  return {
    cosine: xx === 0 || yy === 0 ? null : Math.max(-1, Math.min(1, inner(x, y) / (xx * yy))),
    a: subspaceOverlap(x.a, x.rank, y.a, y.rank),
    b: subspaceOverlap(x.bT, x.rank, y.bT, y.rank),
  };
}
