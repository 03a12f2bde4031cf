// Eigenvalues of matrices that are divided: what makes them eigenvalues, against the library's, for spectra with clusters, with
// zeros, and down to rounding.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { type DoubleMatrix, doubleMatrix, scaleColumns } from '../../../src/engine/linalg/matrix';
import { orthonormalByProducts } from '../../../src/engine/linalg/orthonormal';
import { Products } from '../../../src/engine/linalg/products';
import { symmetricEigen, symmetricEigenByProducts } from '../../../src/engine/linalg/symmetric';
import { Random } from '../../../src/engine/random';
import { openRuntime } from '../../../src/engine/session';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
const products = new Products(runtime);
after(async () => {
  products.release();
  await runtime.close();
});

/** Q·diag(values)·Qᵀ with random orthonormal Q. */
async function withValues(values: Float64Array, key: string): Promise<DoubleMatrix> {
  const random = new Random(1, key);
  const n = values.length;
  const x = doubleMatrix(n, n);
  for (let i = 0; i < x.data.length; i++) x.data[i] = random.normal();
  const q = await orthonormalByProducts(products, x, random);
  const scaled = scaleColumns(doubleMatrix(n, n, q.data.slice()), values);
  return products.multiply(scaled, q, { transB: true });
}

const random = new Random(2, 'spectra');
const spectra: Record<string, (n: number) => Float64Array> = {
  'both signs': (n) => Float64Array.from({ length: n }, () => random.normal()),
  'three clusters': (n) => Float64Array.from({ length: n }, (_, i) => [1, 5, 9][i % 3]!),
  'mostly zeros': (n) => Float64Array.from({ length: n }, (_, i) => (i < n / 4 ? 1 + i : 0)),
  'a decay down to rounding': (n) => Float64Array.from({ length: n }, (_, i) => 0.9 ** i),
};

for (const [name, spectrum] of Object.entries(spectra)) {
  test(`${name}: orthonormal vectors, S·v = λ·v, the library's values`, async () => {
    const n = 430;
    const s = await withValues(spectrum(n), name);
    const { values, vectors } = await symmetricEigenByProducts(products, s);
    const largest = Math.max(...values.map(Math.abs));
    const [image, gram] = [
      await products.multiply(s, vectors),
      await products.multiply(vectors, vectors, { transA: true }),
    ];
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < n; j++) {
        const at = i * n + j;
        const off = image.data[at]! - values[j]! * vectors.data[at]!;
        assert.ok(Math.abs(off) < 1e-11 * largest, `S·v − λ·v is ${off} at ${i}, ${j}`);
        assert.ok(Math.abs(gram.data[at]! - (i === j ? 1 : 0)) < 1e-11, `vectors ${i}, ${j}`);
      }
    }
    const rows = Array.from({ length: n }, (_, i) => s.data.slice(i * n, (i + 1) * n));
    const known = symmetricEigen(rows).values;
    values.forEach((value, i) => {
      assert.ok(Math.abs(value - known[i]!) < 1e-11 * largest, `value ${i}`);
    });
  });
}

test('a diagonal matrix, zeros, and a multiple of the identity', async () => {
  const n = 400;
  for (const at of [(i: number) => (i * 37) % 101, () => 0, () => 3]) {
    const s = doubleMatrix(n, n);
    for (let i = 0; i < n; i++) s.data[i * n + i] = at(i);
    const { values, vectors } = await symmetricEigenByProducts(products, s);
    assert.deepEqual(
      [...values],
      Array.from({ length: n }, (_, i) => at(i)).sort((a, b) => b - a),
    );
    for (let j = 0; j < n; j++) {
      const row = Array.from({ length: n }, (_, i) => i).find((i) => vectors.data[i * n + j] === 1)!;
      assert.equal(at(row), values[j]);
    }
  }
});
