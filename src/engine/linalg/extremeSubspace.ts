// The largest or smallest eigenvectors of a large symmetric matrix that is known by its products only: subspace iteration,
// each round through a Chebyshev polynomial that is small on the unwanted part of the spectrum and grows fast beyond it.
import type { Random } from '../random';
import { block, type Matrix, matrix, transposed } from './matrix';
import { orthonormalColumns } from './orthonormal';
import { symmetricEigen } from './symmetric';

/** x [n, k] → H·x. */
export type Apply = (x: Matrix) => Promise<Matrix>;

export interface Subspace {
  /** [n, r], orthonormal; from the largest eigenvalue down. */
  vectors: Matrix;
  values: Float64Array;
  rounds: number;
}

const mostRounds = 40;
/** Relative change of the wanted eigenvalues' sum at which a round brings no more; fp32 products give about this much. */
const settled = 1e-5;

/** Directions of the other end that are taken out first when the smallest are looked for. */
const deflated = 48;
/** How much more the filter may enlarge the first wanted direction than the last, so that fp32 keeps both. */
const mostSpread = 1e3;

/** @param apply multiplies by a symmetric positive semidefinite [n, n] matrix. */
export async function extremeSubspace(
  apply: Apply,
  n: number,
  r: number,
  end: 'top' | 'bottom',
  random: Random,
): Promise<Subspace> {
  if (end === 'top') return iterate(apply, n, r, end, random, mostRounds);
  // A few large eigenvalues far above the rest, as weights have them, would leave the filter no room below.
  const top = await iterate(apply, n, Math.min(deflated, Math.floor(n / 4)), 'top', random, 4);
  return iterate(without(apply, top), n, r, end, random, mostRounds);
}

/** H with the found eigenvalues moved down to the smallest of them. */
function without(apply: Apply, { vectors, values }: Subspace): Apply {
  const floor = values[values.length - 1]!;
  const q = transposed(vectors);
  return async (x) => {
    const held = inside(q, x);
    const image = await apply(held.rest);
    const back = inside(q, image).rest;
    for (let i = 0; i < back.data.length; i++) back.data[i]! += floor * held.part.data[i]!;
    return back;
  };
}

/** x split into what lies in the rows of q, and the rest. */
function inside(q: Matrix, x: Matrix): { part: Matrix; rest: Matrix } {
  const { rows: n, columns: k } = x;
  const part = matrix(n, k);
  const overlap = new Float64Array(k);
  for (let i = 0; i < q.rows; i++) {
    overlap.fill(0);
    for (let p = 0; p < n; p++) {
      const weight = q.data[i * n + p]!;
      for (let j = 0; j < k; j++) overlap[j]! += weight * x.data[p * k + j]!;
    }
    for (let p = 0; p < n; p++) {
      const weight = q.data[i * n + p]!;
      for (let j = 0; j < k; j++) part.data[p * k + j]! += weight * overlap[j]!;
    }
  }
  return {
    part,
    rest: matrix(
      n,
      k,
      x.data.map((value, i) => value - part.data[i]!),
    ),
  };
}

async function iterate(
  apply: Apply,
  n: number,
  r: number,
  end: 'top' | 'bottom',
  random: Random,
  most: number,
): Promise<Subspace> {
  const width = Math.min(n, r + Math.max(8, Math.ceil(r / 2)));
  let highest = await largestEigenvalue(apply, n, random);
  let basis = matrix(n, width);
  for (let i = 0; i < basis.data.length; i++) basis.data[i] = random.normal();
  basis = orthonormalColumns(await apply(orthonormalColumns(basis, random).q), random).q;
  let { values, vectors } = await ritz(apply, basis);
  let before = Number.NaN;
  let quiet = 0;
  let rounds = 0;
  while (rounds < most && quiet < 2) {
    rounds++;
    // The unwanted part lies between the innermost value of the subspace and the other end of the spectrum.
    const [low, high, target] =
      end === 'top'
        ? [0, values[width - 1]!, Math.max(values[0]!, values[width - 1]! * 1.001)]
        : [values[0]!, highest, Math.max(0, values[width - 1]!)];
    const last = end === 'top' ? values[r - 1]! : values[width - r]!;
    const degree = degreeFor(low, high, target, last, end === 'top' ? 12 : 24);
    basis = orthonormalColumns(await filtered(apply, vectors, low, high, target, degree), random).q;
    ({ values, vectors } = await ritz(apply, basis));
    highest = Math.max(highest, 1.01 * values[0]!);
    const wanted = (end === 'top' ? values.slice(0, r) : values.slice(width - r)).reduce((s, v) => s + v, 0);
    quiet = Math.abs(wanted - before) <= settled * Math.abs(wanted) ? quiet + 1 : 0;
    before = wanted;
  }
  const from = end === 'top' ? 0 : width - r;
  return { vectors: block(vectors, 0, n, from, from + r), values: values.slice(from, from + r), rounds };
}

/** The degree at which the filter enlarges `target` at most `mostSpread` times as much as `last`. */
function degreeFor(low: number, high: number, target: number, last: number, most: number): number {
  const growth = (value: number): number => {
    const t = Math.abs((2 * value - high - low) / (high - low || 1));
    return t <= 1 ? 1 : t + Math.sqrt(t * t - 1);
  };
  const ratio = growth(target) / growth(last);
  return ratio <= 1 ? most : Math.max(1, Math.min(most, Math.floor(Math.log(mostSpread) / Math.log(ratio))));
}

/** Eigenvalues of H within the span of an orthonormal basis, and their vectors, from the largest down. */
async function ritz(apply: Apply, basis: Matrix): Promise<{ values: Float64Array; vectors: Matrix }> {
  const image = transposed(await apply(basis));
  const own = transposed(basis);
  const { rows: k, columns: n } = own;
  const projected = Array.from({ length: k }, () => new Float64Array(k));
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < k; j++) {
      let sum = 0;
      for (let p = 0; p < n; p++) sum += own.data[i * n + p]! * image.data[j * n + p]!;
      projected[i]![j] = sum;
    }
  }
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < i; j++) {
      const mean = (projected[i]![j]! + projected[j]![i]!) / 2;
      projected[i]![j] = mean;
      projected[j]![i] = mean;
    }
  }
  const { values, vectors } = symmetricEigen(projected);
  const turned = matrix(n, k);
  const sums = new Float64Array(k);
  for (let p = 0; p < n; p++) {
    sums.fill(0);
    for (let i = 0; i < k; i++) {
      const x = own.data[i * n + p]!;
      for (let j = 0; j < k; j++) sums[j]! += x * vectors[j]![i]!;
    }
    turned.data.set(sums, p * k);
  }
  return { values, vectors: turned };
}

/**
 * C_m((H − c)/e)·x with c, e the centre and half-width of [low, high], scaled by its value at `target`, so that nothing
 * overflows (the three-term recursion with σ of Zhou and Saad).
 */
async function filtered(
  apply: Apply,
  x: Matrix,
  low: number,
  high: number,
  target: number,
  degree: number,
): Promise<Matrix> {
  const e = (high - low) / 2;
  const c = (high + low) / 2;
  if (!(e > 0) || target === c) return apply(x);
  const first = e / (target - c);
  let sigma = first;
  let past = x;
  let now = combined(await apply(x), x, sigma / e, (-c * sigma) / e);
  for (let i = 2; i <= degree; i++) {
    const next = 1 / (2 / first - sigma);
    const image = combined(await apply(now), now, (2 * next) / e, (-2 * c * next) / e);
    const step = combined(image, past, 1, -sigma * next);
    past = now;
    now = step;
    sigma = next;
  }
  return now;
}

/** p·a + q·b. */
function combined(a: Matrix, b: Matrix, p: number, q: number): Matrix {
  const out = matrix(a.rows, a.columns);
  for (let i = 0; i < out.data.length; i++) out.data[i] = p * a.data[i]! + q * b.data[i]!;
  return out;
}

/** A bound above the largest eigenvalue: a power iteration's estimate and the length of its residual. */
async function largestEigenvalue(apply: Apply, n: number, random: Random): Promise<number> {
  let x = matrix(n, Math.min(n, 4));
  for (let i = 0; i < x.data.length; i++) x.data[i] = random.normal();
  let bound = 0;
  for (let i = 0; i < 8; i++) {
    x = orthonormalColumns(x, random).q;
    const { values, vectors } = await ritz(apply, x);
    x = await apply(vectors);
    let residual = 0;
    for (let p = 0; p < n; p++) {
      residual += (x.data[p * x.columns]! - values[0]! * vectors.data[p * x.columns]!) ** 2;
    }
    bound = Math.max(values[0]!, i < 7 ? 0 : values[0]! + Math.sqrt(residual));
  }
  return 1.01 * bound;
}
