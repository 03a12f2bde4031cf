// Solves C·X = R for a symmetric positive definite C and a few right sides. Small C by Cholesky in fp64; large ones by
// conjugate gradients, all right sides at once, with the products on the runtime.
import { CholeskyDecomposition, Matrix as Dense } from 'ml-matrix';
import { type Matrix, matrix } from './matrix';
import type { Products } from './products';

const denseSize = 768;
const mostIterations = 500;
/** Length of the residual relative to the right side's; fp32 products give about this much. */
const tolerance = 1e-6;

/** @param c [n, n]. @param right [n, k]. */
export async function solvePositive(products: Products, c: Matrix, right: Matrix): Promise<Matrix> {
  const n = c.rows;
  if (n <= denseSize) {
    const rows = (m: Matrix): number[][] =>
      Array.from({ length: m.rows }, (_, i) =>
        Array.from(m.data.subarray(i * m.columns, (i + 1) * m.columns)),
      );
    const solution = new CholeskyDecomposition(new Dense(rows(c))).solve(new Dense(rows(right)));
    return matrix(n, right.columns, Float32Array.from(solution.to1DArray()));
  }
  return conjugateGradients(products, c, right);
}

async function conjugateGradients(products: Products, c: Matrix, right: Matrix): Promise<Matrix> {
  const { rows: n, columns: k } = right;
  const held = await products.holding(c);
  try {
    // The diagonal as preconditioner.
    const inverse = Float64Array.from({ length: n }, (_, i) => 1 / (c.data[i * n + i]! || 1));
    const x = new Float64Array(n * k);
    const r = Float64Array.from(right.data);
    const z = r.map((value, i) => value * inverse[Math.floor(i / k)]!);
    const p = z.slice();
    let rz = columnDots(r, z, k);
    const start = columnDots(r, r, k);
    for (let iteration = 0; iteration < mostIterations; iteration++) {
      const image = (await held.multiply(matrix(n, k, Float32Array.from(p)))).data;
      const curvature = columnDots(p, image, k);
      const step = rz.map((value, j) => (curvature[j]! > 0 ? value / curvature[j]! : 0));
      for (let i = 0; i < x.length; i++) {
        x[i]! += step[i % k]! * p[i]!;
        r[i]! -= step[i % k]! * image[i]!;
        z[i] = r[i]! * inverse[Math.floor(i / k)]!;
      }
      if (columnDots(r, r, k).every((value, j) => value <= tolerance ** 2 * start[j]!)) break;
      const next = columnDots(r, z, k);
      const turn = next.map((value, j) => (rz[j]! > 0 ? value / rz[j]! : 0));
      for (let i = 0; i < p.length; i++) p[i] = z[i]! + turn[i % k]! * p[i]!;
      rz = next;
    }
    return matrix(n, k, Float32Array.from(x));
  } finally {
    held.release();
  }
}

function columnDots(a: ArrayLike<number>, b: ArrayLike<number>, k: number): Float64Array {
  const sums = new Float64Array(k);
  for (let i = 0; i < a.length; i++) sums[i % k]! += a[i]! * b[i]!;
  return sums;
}
