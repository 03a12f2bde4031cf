// Truncated decompositions against NumPy in small sizes, by their invariants in larger ones.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { block, type Matrix, matrix, scaleColumns, transposed } from '../../../src/engine/linalg/matrix';
import { orthonormalColumns } from '../../../src/engine/linalg/orthonormal';
import { Products } from '../../../src/engine/linalg/products';
import { exactSvd, randomSvd, type TruncatedSvd } from '../../../src/engine/linalg/svd';
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
    const whole = await exactSvd(products, a, 100, 'top', 1);
    assert.equal(whole.report.method, 'dense');
    const top = await exactSvd(products, a, 10, 'top', 1);
    assert.equal(top.report.method, 'filtered');
    assert.ok(
      worst(top.sigma, whole.sigma.slice(0, 10)) < 2e-3,
      `top ${top.sigma} ${whole.sigma.slice(0, 10)}`,
    );
    assert.ok((await skew(top.u)) < 1e-5);
    assert.ok((await skew(transposed(top.vt))) < 1e-4);

    const all = await exactSvd(products, a, 380, 'bottom', 1);
    const bottom = await exactSvd(products, a, 10, 'bottom', 1);
    assert.equal(bottom.report.method, 'filtered');
    assert.ok(
      worst(bottom.sigma, all.sigma.slice(-10)) < 2e-3,
      `bottom ${bottom.sigma} ${all.sigma.slice(-10)}`,
    );
    assert.ok((await skew(bottom.u)) < 1e-4);
  });
}

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
