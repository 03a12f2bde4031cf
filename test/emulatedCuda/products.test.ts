// The stand-in for cuBLAS against plain JavaScript in double precision: every type, transpose and form of a batch that ONNX Runtime's
// CUDA provider asks for, and what the real library would refuse.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import koffi from 'koffi';
import type { Form, Matrices, Shape, Type } from './cublasCalls';
import { buildable, Cublas, computes, scalar, types } from './cublasCalls';

const skip = !buildable;
const invalidValue = 7;
const notSupported = 15;
const folder = mkdtempSync(join(tmpdir(), 'workbench-products-'));
let device: Cublas;
before(() => {
  if (buildable) device = Cublas.open(folder);
});
after(() => rmSync(folder, { recursive: true, force: true }));

const gemmEx: Form = { name: 'cublasGemmEx', ex: true };
const transposes = [0, 1].flatMap((transA) => [0, 1, 2].map((transB) => ({ transA, transB })));
const one = scalar(1, computes.single);
const zero = scalar(0, computes.single);

/** Random operands of a product as they lie; whole numbers of 8 bits need leading dimensions of whole words. */
function operands({ m, n, k, transA, transB }: Shape, type: Type, batch = 1): [Matrices, Matrices] {
  const operand = (rows: number, columns: number): Matrices =>
    device
      .matrices(type, rows, columns, type === 'i8' ? Math.ceil((rows + 1) / 4) * 4 : rows + 3, batch)
      .filled();
  return [transA ? operand(k, m) : operand(m, k), transB ? operand(n, k) : operand(k, n)];
}

/** Compares C with alpha·op(A)·op(B) + beta·old; what a factor of 0 leaves out may be NaN. */
function check(
  shape: Shape,
  [a, b, c]: readonly [Matrices, Matrices, Matrices],
  old: number[],
  alpha: number,
  beta: number,
): void {
  const { m, n, k, transA, transB } = shape;
  const [left, right, found] = [a.values, b.values, c.values];
  const { unit } = types[c.type];
  const sums = unit === 0 ? 0 : c.type === 'f64' ? 1e-14 : 4e-6;
  for (let index = 0; index < m * n * c.count; index++) {
    const [i, j, of] = [index % m, Math.floor(index / m) % n, Math.floor(index / (m * n))];
    const [startA, startB] = [(of % a.count) * m * k, of * k * n];
    let sum = 0;
    let size = 0;
    for (let p = 0; p < (alpha === 0 ? 0 : k); p++) {
      const x = left[startA + (transA ? i * k + p : p * m + i)]!;
      const term = x * right[startB + (transB ? p * n + j : j * k + p)]!;
      sum += term;
      size += Math.abs(term);
    }
    const before = beta === 0 ? 0 : beta * old[index]!;
    const expected = alpha * sum + before;
    const allowed = unit * Math.abs(expected) + sums * (Math.abs(alpha) * size + Math.abs(before) + 1e-3);
    const error = Math.abs(found[index]! - expected);
    assert.ok(error <= allowed, `${c.type} [${of}, ${i}, ${j}]: ${found[index]}, expected ${expected}`);
  }
  c.checkGaps();
}

const combinations: readonly (readonly [Type, Type, number])[] = [
  ['f32', 'f32', computes.single],
  ['f64', 'f64', computes.double],
  ['f16', 'f16', computes.single],
  ['f16', 'f32', computes.single],
  ['f16', 'f16', computes.half],
  ['bf16', 'bf16', computes.single],
  ['bf16', 'f32', computes.single],
  ['i8', 'i32', computes.integer],
];
const sizes = [
  [5, 7, 3],
  [1, 9, 40],
  [33, 2, 20],
  [40, 35, 17],
  [4, 4, 1],
] as const;
for (const [type, result, compute] of combinations)
  test(`${type} products into ${result} with every transpose (compute type ${compute})`, { skip }, () => {
    for (const [m, n, k] of sizes)
      for (const transpose of transposes)
        for (const [alpha, beta] of [
          [1, 0],
          [3, -2],
          [0, 2],
        ] as const) {
          const shape = { m, n, k, ...transpose };
          const [a, b] = operands(shape, type);
          if (alpha === 0 && type !== 'i8') a.values = a.values.map(() => Number.NaN);
          const c = device.matrices(result, m, n);
          if (beta !== 0) c.filled();
          const old = c.values;
          const factors = [scalar(alpha, compute), scalar(beta, compute)] as const;
          assert.equal(device.multiply(gemmEx, shape, [a, b, c], factors, compute), 0);
          device.wait();
          check(shape, [a, b, c], old, alpha, beta);
        }
  });

for (const [name, type, compute] of [
  ['cublasSgemm_v2', 'f32', computes.single],
  ['cublasDgemm_v2', 'f64', computes.double],
] as const)
  test(`${name} of sizes beyond what is packed at once`, { skip }, () => {
    for (const [m, n, k, transA, transB] of [
      [300, 520, 270, 1, 0],
      [10, 600, 300, 0, 1],
      [530, 3, 520, 0, 0],
    ] as const) {
      const shape = { m, n, k, transA, transB };
      const [a, b] = operands(shape, type);
      const c = device.matrices(type, m, n).filled();
      const old = c.values;
      const factors = [scalar(0.5, compute), scalar(1.5, compute)] as const;
      assert.equal(device.multiply({ name }, shape, [a, b, c], factors, compute), 0);
      device.wait();
      check(shape, [a, b, c], old, 0.5, 1.5);
    }
  });

const batched: readonly (readonly [string, Type, number])[] = [
  ['cublasSgemm', 'f32', computes.single],
  ['cublasDgemm', 'f64', computes.double],
  ['cublasGemm', 'bf16', computes.single],
  ['cublasGemm', 'f16', computes.half],
];
for (const [prefix, type, compute] of batched) {
  const ex = prefix === 'cublasGemm';
  const suffix = ex ? 'Ex' : '';
  const strided: Form = { name: `${prefix}StridedBatched${suffix}`, ex, batch: 'strided' };
  test(`${strided.name} of ${type}, one of the operands shared`, { skip }, () => {
    const shape = { m: 9, n: 6, k: 11, transA: 1, transB: 0 };
    const [a] = operands(shape, type);
    const [, b] = operands(shape, type, 4);
    const c = device.matrices(type, 9, 6, 10, 4);
    const factors = [scalar(2, compute), scalar(0, compute)] as const;
    assert.equal(device.multiply(strided, shape, [a, b, c], factors, compute), 0);
    device.wait();
    check(shape, [a, b, c], [], 2, 0);
  });

  const listed: Form = { name: `${prefix}Batched${suffix}`, ex, batch: 'listed' };
  test(`${listed.name} of ${type} reads scalars at once, pointers and elements in its turn`, { skip }, () => {
    const shape = { m: 4, n: 3, k: 5, transA: 0, transB: 1 };
    const [a, b] = operands(shape, type, 3);
    const c = device.matrices(type, 4, 3, 4, 3).filled();
    const old = c.values;
    const lists = [a, b, c].map(() => device.allocate(3 * 8));
    for (const list of lists) new Uint8Array(koffi.view(list, 3 * 8)).fill(0xff);
    const factors = [scalar(-1, compute), scalar(0.5, compute)] as const;
    assert.equal(device.multiply(listed, shape, [a, b, c], factors, compute, lists), 0);
    for (const x of factors) x.fill(0x7f);
    const addressOf = (x: Matrices, i: number): bigint =>
      x.address + BigInt(i * x.stride * types[type].bytes);
    for (const [i, x] of [a, b, c].entries())
      new BigUint64Array(koffi.view(lists[i]!, 3 * 8)).set([0, 1, 2].map((at) => addressOf(x, at)));
    a.filled();
    assert.deepEqual(c.values, old, 'nothing runs before somebody waits');
    device.wait();
    check(shape, [a, b, c], old, -1, 0.5);
  });
}

test('16-bit results are sums in fp32, rounded once, to nearest even', { skip }, () => {
  const dot = (type: Type, x: readonly number[], y: readonly number[]): number => {
    const [a, b] = [device.matrices(type, 1, x.length), device.matrices(type, x.length, 1)];
    a.values = x;
    b.values = y;
    const c = device.matrices(type, 1, 1);
    const shape = { m: 1, n: 1, k: x.length, transA: 0, transB: 0 };
    assert.equal(device.multiply(gemmEx, shape, [a, b, c], [one, zero], computes.single), 0);
    device.wait();
    return c.values[0]!;
  };
  const ones = new Array<number>(3000).fill(1);
  assert.equal(dot('f16', ones, ones), 3000);
  for (const [type, step] of [
    ['f16', 2 ** -10],
    ['bf16', 2 ** -7],
  ] as const) {
    assert.equal(dot(type, [1, step], [1, 0.5]), 1, 'half a step above 1 goes down');
    assert.equal(dot(type, [1 + step, step], [1, 0.5]), 1 + 2 * step, 'half a step above 1 + step goes up');
    assert.equal(dot(type, [1, step, step], [1, 0.5, 2 ** -7]), 1 + step, 'more than half a step goes up');
  }
  assert.equal(dot('f16', [60000, 60000], [1, 1]), Number.POSITIVE_INFINITY);
  assert.ok(Number.isNaN(dot('bf16', [Number.NaN, 1], [1, 1])));
});

for (const [letter, type, compute] of [
  ['S', 'f32', computes.single],
  ['D', 'f64', computes.double],
] as const) {
  test(`cublas${letter}geam with every transpose`, { skip }, () => {
    const [m, n] = [4, 6];
    const operand = (transposed: number, factor: number): Matrices => {
      const x = transposed ? device.matrices(type, n, m) : device.matrices(type, m, n);
      // What a factor of 0 leaves out stays NaN.
      return factor === 0 ? x : x.filled();
    };
    const element = (x: Matrices, transposed: number, factor: number, i: number, j: number): number =>
      factor === 0 ? 0 : factor * x.values[transposed ? i * n + j : j * m + i]!;
    for (const { transA, transB } of transposes)
      for (const [alpha, beta] of [
        [1, 0],
        [0, 1],
        [2, -0.5],
      ] as const) {
        const [a, b] = [operand(transA, alpha), operand(transB, beta)];
        const c = device.matrices(type, m, n);
        const left = [scalar(alpha, compute), a.address, a.leading];
        const right = [scalar(beta, compute), b.address, b.leading];
        const sizes = [transA, transB, m, n];
        assert.equal(
          device.call(
            `cublas${letter}geam`,
            'iiiippippipi',
            ...sizes,
            ...left,
            ...right,
            c.address,
            c.leading,
          ),
          0,
        );
        device.wait();
        for (const [index, found] of c.values.entries()) {
          const [i, j] = [index % m, Math.floor(index / m)];
          const expected = element(a, transA, alpha, i, j) + element(b, transB, beta, i, j);
          assert.ok(Math.abs(found - expected) <= 1e-6, `[${i}, ${j}]: ${found}, expected ${expected}`);
        }
        c.checkGaps();
      }
  });

  test(`cublas${letter}copy_v2 with steps`, { skip }, () => {
    const n = 5;
    const place = (i: number, step: number): number => (step < 0 ? (i + 1 - n) * step : i * step);
    for (const [stepX, stepY] of [
      [1, 1],
      [3, 2],
      [0, 1],
      [-2, 1],
      [1, -3],
    ] as const) {
      const [x, y] = [device.matrices(type, 20, 1).filled(), device.matrices(type, 20, 1).filled()];
      const expected = y.values;
      for (let i = 0; i < n; i++) expected[place(i, stepY)] = x.values[place(i, stepX)]!;
      assert.equal(device.call(`cublas${letter}copy_v2`, 'ipipi', n, x.address, stepX, y.address, stepY), 0);
      device.wait();
      assert.deepEqual(y.values, expected);
    }
  });
}

test('cublasSscal_v2 with a step', { skip }, () => {
  const x = device.matrices('f32', 10, 1).filled();
  const expected = x.values.map((value, i) => (i % 3 === 0 && i < 9 ? Math.fround(value * 2.5) : value));
  assert.equal(device.call('cublasSscal_v2', 'ippi', 3, scalar(2.5, computes.single), x.address, 3), 0);
  device.wait();
  assert.deepEqual(x.values, expected);
});

test('refuses what the real library refuses, and computes nothing', { skip }, () => {
  const c = device.matrices('f32', 8, 8, 8);
  const old = c.values;
  const { address } = c;
  const gemm = (
    transA: number,
    transB: number,
    [m, n, k]: readonly number[],
    [lda, ldb, ldc]: readonly number[],
  ): number => {
    const [a, b] = [
      [one, address, lda, address, ldb],
      [zero, address, ldc],
    ] as const;
    return device.call('cublasSgemm_v2', 'iiiiippipippi', transA, transB, m, n, k, ...a, ...b);
  };
  for (const [transA, transB, leading] of [
    [0, 0, [3, 6, 4]],
    [1, 0, [5, 6, 4]],
    [0, 0, [4, 5, 4]],
    [0, 1, [4, 4, 4]],
    [0, 0, [4, 6, 3]],
    [3, 0, [8, 8, 8]],
    [0, -1, [8, 8, 8]],
    [0, 0, [0, 0, 0]],
  ] as const)
    assert.equal(gemm(transA, transB, [4, 5, 6], leading), invalidValue, `${transA}${transB} ${leading}`);
  assert.equal(gemm(0, 0, [-1, 1, 1], [1, 1, 1]), invalidValue);

  const shape = { m: 2, n: 2, k: 2, transA: 0, transB: 0 };
  const mixed = (a: Type, b: Type, result: Type, compute: number, leading = 4): number =>
    device.multiply(
      gemmEx,
      shape,
      [device.matrices(a, 2, 2, leading), device.matrices(b, 2, 2, 4), device.matrices(result, 2, 2, 4)],
      [one, zero],
      compute,
    );
  assert.equal(mixed('f16', 'bf16', 'f16', computes.single), notSupported);
  assert.equal(mixed('f32', 'f32', 'f16', computes.single), notSupported);
  assert.equal(mixed('f32', 'f32', 'f32', computes.half), notSupported);
  assert.equal(mixed('i8', 'i8', 'i32', computes.integer, 6), notSupported);
  const sum = [0, 1, 4, 5, one, address, 4, one, address, 4, address, 4];
  assert.equal(device.call('cublasSgeam', 'iiiippippipi', ...sum), invalidValue);
  device.wait();
  assert.deepEqual(c.values, old);

  const found = [-1];
  const nothing = new Array<string>(7).fill('void *');
  const parameters = [...nothing, 'int', 'void *', koffi.out(koffi.pointer('int'))];
  const heuristic = device.cublasLt.func('cublasLtMatmulAlgoGetHeuristic', 'int', parameters);
  assert.equal(heuristic(...nothing.map(() => null), 1, null, found), notSupported);
  assert.deepEqual(found, [0]);
});

test('says each product that ran in a line', { skip }, () => {
  const shape = { m: 2, n: 3, k: 4, transA: 1, transB: 0 };
  const [a, b] = operands(shape, 'bf16');
  const c = device.matrices('f32', 2, 3);
  assert.equal(device.multiply(gemmEx, shape, [a, b, c], [one, zero], computes.single), 0);
  device.wait();
  const lines = readFileSync(join(folder, 'products'), 'utf8').trimEnd().split('\n');
  assert.equal(lines.at(-1), '2 3 4 1 bf16 bf16 f32 T N');
});
