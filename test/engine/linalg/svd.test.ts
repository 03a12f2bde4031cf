// Truncated decompositions against NumPy in small sizes, by their invariants in larger ones.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { inverseCholesky } from '../../../src/engine/linalg/cholesky';
import {
  block,
  frobenius,
  type Matrix,
  matrix,
  rounded,
  scaleColumns,
  transposed,
  widened,
} from '../../../src/engine/linalg/matrix';
import { orthonormalByProducts, orthonormalColumns } from '../../../src/engine/linalg/orthonormal';
import { Products } from '../../../src/engine/linalg/products';
import { exactSvd, randomSvd, type TruncatedSvd } from '../../../src/engine/linalg/svd';
import { gramOfRows, symmetricEigen } from '../../../src/engine/linalg/symmetric';
import { Random } from '../../../src/engine/random';
import { openRuntime } from '../../../src/engine/session';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
const products = new Products(runtime);
after(async () => {
  products.release();
  await runtime.close();
});

interface Golden {
  rows: number;
  columns: number;
  matrix: number[];
  sigma: number[];
  top3: number[];
  bottom3: number[];
  qr3: number[];
}
const { cases } = JSON.parse(readFileSync(join('test', 'goldens', 'linalg', 'small.json'), 'utf8')) as {
  cases: Golden[];
};

function gaussian(rows: number, columns: number, seed: number): Matrix {
  const random = new Random(seed, 'matrix');
  return matrix(
    rows,
    columns,
    Float32Array.from({ length: rows * columns }, () => random.normal()),
  );
}

const worst = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Array.from(a).reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

async function product(svd: TruncatedSvd): Promise<Matrix> {
  const scaled = scaleColumns(matrix(svd.u.rows, svd.u.columns, svd.u.data.slice()), svd.sigma);
  return products.multiply(scaled, svd.vt);
}

/** Largest deviation of xᵀx from the identity. */
async function skew(x: Matrix): Promise<number> {
  const gram = await products.multiply(x, x, { transA: true });
  return worst(
    gram.data,
    Float32Array.from(gram.data, (_, i) => (i % (x.columns + 1) === 0 ? 1 : 0)),
  );
}

for (const golden of cases) {
  const a = matrix(golden.rows, golden.columns, Float32Array.from(golden.matrix));
  const size = `${golden.rows} × ${golden.columns}`;

  test(`${size}: the largest and the smallest three are NumPy's`, async () => {
    const top = await exactSvd(products, a, 3, 'top', 1);
    assert.ok(worst(top.sigma, golden.sigma.slice(0, 3)) < 1e-6);
    assert.ok(worst((await product(top)).data, golden.top3) < 1e-5);
    const bottom = await exactSvd(products, a, 3, 'bottom', 1);
    assert.ok(worst(bottom.sigma, golden.sigma.slice(-3)) < 1e-6);
    assert.ok(worst((await product(bottom)).data, golden.bottom3) < 1e-5);
  });

  test(`${size}: the random range finder reaches NumPy's with enough iterations`, async () => {
    const found = await randomSvd(products, a, 3, 16, 1);
    assert.ok(worst(found.sigma, golden.sigma.slice(0, 3)) < 1e-5);
    assert.ok(worst((await product(found)).data, golden.top3) < 1e-4);
    const left = Math.sqrt(
      golden.sigma.slice(3).reduce((s, x) => s + x * x, 0) / golden.sigma.reduce((s, x) => s + x * x, 0),
    );
    assert.ok(Math.abs(found.report.relativeError - left) < 1e-5);
  });

  test(`${size}: the thin QR's first three parts are NumPy's`, async () => {
    const { q } = orthonormalColumns(block(a, 0, a.rows, 0, 3), new Random(1));
    const upper = await products.multiply(q, a, { transA: true });
    assert.ok(worst((await products.multiply(q, upper)).data, golden.qr3) < 1e-5);
  });
}

for (const [rows, columns] of [
  [380, 700],
  [700, 380],
] as const) {
  test(`${rows} × ${columns}: filtered subspaces agree with the whole spectrum`, async () => {
    const a = gaussian(rows, columns, 3);
    const sigma = symmetricEigen(gramOfRows(rows < columns ? a : transposed(a))).values.map(Math.sqrt);
    const top = await exactSvd(products, a, 10, 'top', 1);
    assert.equal(top.report.method, 'filtered');
    assert.ok(worst(top.sigma, sigma.slice(0, 10)) < 2e-3, `top ${top.sigma} ${sigma.slice(0, 10)}`);
    assert.ok((await skew(top.u)) < 1e-5);
    assert.ok((await skew(transposed(top.vt))) < 1e-4);

    const bottom = await exactSvd(products, a, 10, 'bottom', 1);
    assert.equal(bottom.report.method, 'inverse');
    assert.ok(Math.abs(energy(bottom.sigma) / energy(sigma.slice(-10)) - 1) < 0.005);
    assert.ok((await skew(bottom.u)) < 1e-5);
    assert.ok((await skew(transposed(bottom.vt))) < 1e-4);
  });
}

const energy = (sigma: Float64Array): number => sigma.reduce((sum, x) => sum + x * x, 0);

/** U·diag(σ)·Vᵀ with random U and V. */
async function withSpectrum(rows: number, columns: number, sigma: Float64Array): Promise<Matrix> {
  const random = new Random(9, 'basis');
  const basis = (n: number) => orthonormalByProducts(products, widened(gaussian(n, sigma.length, n)), random);
  const u = scaleColumns(await basis(rows), sigma);
  return rounded(await products.multiply(u, await basis(columns), { transB: true }));
}

// Outliers, a bulk, and tails as trained weights have them; none has a gap above the smallest r.
const spectra: Record<string, (share: number) => number> = {
  'linear down to 1e-5': (share) => 1e-5 + (1 - share),
  'every magnitude down to 1e-5': (share) => 10 ** (-5 * share),
  'a bulk that ends at a quarter, with outliers': (share) => (share < 0.01 ? 20 : 1 - 0.75 * share),
  'singular: zeros at the end': (share) => Math.max(0, 1 - 1.03 * share),
};
for (const [name, shape] of Object.entries(spectra)) {
  test(`the smallest directions span the smallest energy: ${name}`, async () => {
    for (const [rows, columns] of [
      [330, 500],
      [500, 330],
    ] as const) {
      const sigma = Float64Array.from({ length: 330 }, (_, i) => shape(i / 329));
      const a = await withSpectrum(rows, columns, sigma);
      const r = 24;
      const found = await exactSvd(products, a, r, 'bottom', 1);
      // Measured anew from the factors: what U's columns take out of A.
      const taken = await products.multiply(widened(found.u), a, { transA: true });
      const [got, best] = [frobenius(taken) ** 2, energy(sigma.slice(-r))];
      // Rounding A and U to fp32 moves singular values by about 1e-7 of the largest.
      assert.ok(
        got <= 1.01 * best + r * (3e-7 * sigma[0]!) ** 2,
        `${rows} × ${columns}: ${got} against ${best}, ${found.report.rounds} rounds`,
      );
      assert.ok(Math.abs(energy(found.sigma) - got) <= 1e-2 * got + r * (3e-7 * sigma[0]!) ** 2);
    }
  });
}

test('the largest directions of a matrix of low rank', async () => {
  const a = await withSpectrum(400, 300, Float64Array.of(3, 2, 1));
  const found = await exactSvd(products, a, 20, 'top', 1);
  assert.ok(worst(found.sigma.slice(0, 4), [3, 2, 1, 0]) < 1e-5, `${found.sigma}`);
  assert.ok((await skew(transposed(found.vt))) < 1e-5);
  const nothing = await exactSvd(products, matrix(400, 300), 4, 'top', 1);
  assert.deepEqual([...nothing.sigma], [0, 0, 0, 0]);
});

test('blocked factors: L⁻¹ turns S into the identity, and refuses what is not positive definite', async () => {
  const x = widened(gaussian(300, 400, 6));
  const s = await products.gram(x);
  const direct = await products.multiply(x, x, { transB: true });
  assert.ok(worst(s.data, direct.data) < 1e-9);
  const factor = await inverseCholesky(products, s);
  assert.ok(factor);
  const identity = await products.multiply(await products.multiply(factor, s), factor, { transB: true });
  assert.ok(
    worst(
      identity.data,
      Float64Array.from(s.data, (_, i) => (i % 301 === 0 ? 1 : 0)),
    ) < 1e-9,
  );
  s.data[299 * 300 + 299] = 0;
  assert.equal(await inverseCholesky(products, s), undefined);
});

test('many columns become orthonormal, in the order of their spans; dependent ones too', async () => {
  const x = widened(gaussian(500, 200, 7));
  for (let i = 0; i < 500; i++) x.data[i * 200 + 150] = 2 * x.data[i * 200 + 3]!;
  const q = await orthonormalByProducts(products, x, new Random(1));
  const gram = await products.gram(q, true);
  assert.ok(
    worst(
      gram.data,
      Float64Array.from(gram.data, (_, i) => (i % 201 === 0 ? 1 : 0)),
    ) < 1e-9,
  );
  const first = orthonormalColumns(rounded(block(x, 0, 500, 0, 100)), new Random(1)).q;
  assert.ok(worst(first.data, block(q, 0, 500, 0, 100).data) < 1e-4);
});

test('the same seed gives the same bits, another seed the same space', async () => {
  const a = gaussian(60, 90, 4);
  const [one, same, other] = [
    await randomSvd(products, a, 5, 2, 7),
    await randomSvd(products, a, 5, 2, 7),
    await randomSvd(products, a, 5, 40, 8),
  ];
  assert.deepEqual(one.u.data, same.u.data);
  assert.notDeepEqual(one.u.data, other.u.data);
});

test('a rank beyond the matrix gives what there is', async () => {
  const svd = await exactSvd(products, gaussian(3, 5, 5), 8, 'top', 1);
  assert.equal(svd.sigma.length, 3);
  assert.ok(svd.report.relativeError < 1e-3);
});

test('products in tiles are products', async () => {
  const [a, b] = [gaussian(7, 9000, 1), gaussian(9000, 5, 2)];
  const whole = await products.multiply(a, b);
  const transposedToo = await products.multiply(transposed(a), transposed(b), { transA: true, transB: true });
  const direct = Float32Array.from(whole.data, (_, i) => {
    let sum = 0;
    for (let k = 0; k < 9000; k++) sum += a.data[Math.floor(i / 5) * 9000 + k]! * b.data[k * 5 + (i % 5)]!;
    return sum;
  });
  assert.ok(worst(whole.data, direct) < 2e-3);
  assert.ok(worst(transposedToo.data, direct) < 2e-3);
});

test('dependent columns are replaced by directions beyond them', () => {
  const x = matrix(4, 3, Float32Array.of(1, 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1));
  const { q, replaced } = orthonormalColumns(x, new Random(1));
  assert.equal(replaced, 1);
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      let dot = 0;
      for (let p = 0; p < 4; p++) dot += q.data[p * 3 + i]! * q.data[p * 3 + j]!;
      assert.ok(Math.abs(dot - (i === j ? 1 : 0)) < 1e-6);
    }
  }
});
