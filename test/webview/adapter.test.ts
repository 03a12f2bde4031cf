// The numbers of the adapter page: singular values against a plain SVD of the product, ranks, the grid.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Matrix, SingularValueDecomposition } from 'ml-matrix';
import { magnitudes, spectrumOfProduct } from '../../src/extension/webviews/adapterSpectrum';
import { gridOf, stepOf, thresholds } from '../../webview/adapter/grid';
import { effectiveRank, energy, resized, smallerRanks, suggestedRank } from '../../webview/adapter/rank';

function random(length: number, seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length }, () => {
    state = (state * 1664525 + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

/** Singular values of the product itself. */
function naive(b: Float32Array, a: Float32Array, r: number): number[] {
  const [out, width] = [b.length / r, a.length / r];
  const product = Matrix.from1DArray(out, r, b).mmul(Matrix.from1DArray(r, width, a));
  const tall = out >= width ? product : product.transpose();
  return new SingularValueDecomposition(tall).diagonal.slice(0, r);
}

function close(found: readonly number[], expected: readonly number[], tolerance: number): void {
  assert.equal(found.length, expected.length);
  for (const [i, value] of expected.entries())
    assert.ok(Math.abs(found[i]! - value) <= tolerance * expected[0]!, `σ${i}: ${found[i]} is not ${value}`);
}

for (const [out, width, r] of [
  [24, 40, 4],
  [40, 24, 8],
  [9, 9, 9],
  [30, 7, 1],
] as const) {
  test(`singular values of B·A [${out}, ${width}] with r ${r} are those of the product`, () => {
    const [b, a] = [random(out * r, 7), random(r * width, 11)];
    const { sigma, norm } = spectrumOfProduct(b, a, r);
    close(sigma, naive(b, a, r), 1e-7);
    const whole = Math.hypot(...sigma);
    assert.ok(Math.abs(norm - whole) < 1e-9 * whole, `‖ΔW‖ ${norm} is not ${whole}`);
  });
}

test('a factor with equal columns has fewer directions than its rank', () => {
  const r = 4;
  const a = random(r * 20, 3);
  const b = new Float32Array(15 * r);
  const column = random(15, 5);
  for (let o = 0; o < 15; o++) for (let k = 0; k < r; k++) b[o * r + k] = column[o]!;
  const { sigma } = spectrumOfProduct(b, a, r);
  assert.ok(sigma[0]! > 0);
  for (const value of sigma.slice(1)) assert.ok(value < 1e-7 * sigma[0]!);
  assert.ok(Math.abs(effectiveRank(sigma) - 1) < 1e-4);
});

test('an adapter that never moved has no singular value and no suggestion', () => {
  const { sigma, norm } = spectrumOfProduct(new Float32Array(12), random(24, 1), 2);
  assert.deepEqual(sigma, [0, 0]);
  assert.equal(norm, 0);
  assert.equal(effectiveRank(sigma), 0);
  assert.equal(suggestedRank([{ sigma, outFeatures: 6, inFeatures: 12 }], 2), undefined);
});

test('magnitudes count what is not finite and leave it out', () => {
  assert.deepEqual(magnitudes(Float32Array.of(3, Number.NaN, -4, Infinity)), {
    norm: 5,
    mean: 7 / 4,
    largest: 4,
    notFinite: 2,
  });
});

test('energy and effective rank of known spectra', () => {
  assert.equal(energy([3, 4].reverse(), 1), 16 / 25);
  assert.ok(Math.abs(effectiveRank([1, 1, 1, 1]) - 4) < 1e-12);
  assert.ok(Math.abs(effectiveRank([5, 0, 0]) - 1) < 1e-12);
});

test('the suggested rank keeps nearly everything in every module', () => {
  const steep = { sigma: [10, 1, 0.1, 0.05], outFeatures: 8, inFeatures: 8 };
  const flat = { sigma: [1, 1, 1, 1], outFeatures: 8, inFeatures: 8 };
  assert.deepEqual(smallerRanks(16), [16, 12, 8, 4]);
  assert.deepEqual(smallerRanks(1), [1]);
  assert.equal(suggestedRank([steep], 4)?.rank, 1);
  assert.equal(suggestedRank([steep, flat], 4), undefined);
  assert.equal(resized([steep, flat], 2).bytes, 2 * 4 * 2 * 16);
  assert.equal(resized([flat], 2).worst, 0.5);
});

test('modules fall into rows and layers; the odd ones stand apart', () => {
  const grid = gridOf([
    'model.layers.1.self_attn.q_proj',
    'model.layers.0.self_attn.q_proj',
    'model.layers.0.mlp.down_proj',
    'lm_head',
  ]);
  assert.deepEqual(grid.rows, ['q_proj', 'down_proj']);
  assert.deepEqual(grid.layers, [0, 1]);
  assert.equal(grid.cells.get('q_proj\u00001')?.module, 0);
  assert.deepEqual(
    grid.others.map(({ row }) => row),
    ['lm_head'],
  );
});

test("GPT-2's two c_proj keep apart", () => {
  const grid = gridOf(['transformer.h.0.attn.c_proj', 'transformer.h.0.mlp.c_proj']);
  assert.deepEqual(grid.rows, ['attn.c_proj', 'mlp.c_proj']);
});

test('steps of the heat map', () => {
  const cuts = thresholds([1, 2, 3, 4, 5]);
  assert.deepEqual(cuts, [2, 3, 4, 5]);
  assert.deepEqual(
    [1, 2, 5].map((value) => stepOf(value, cuts)),
    [0, 1, 4],
  );
  assert.deepEqual(thresholds([]), []);
});
