// Matrix products on the runtime. Matrices of any size go in and come out in host memory; they pass through the device in
// tiles, so that no tensor there exceeds 128 MiB. A product of which a factor is in fp64 is in fp64; a device that has no
// such products (WebGPU) leaves them to the processor.

import type { DType } from '../dtype';
import { invariant } from '../errors';
import { Program } from '../execution/program';
import { ShapeCache } from '../execution/shapeCache';
import { GraphBuilder } from '../graph/builder';
import { lower } from '../graph/passes/lower';
import type { DeviceTensor, Runtime } from '../session';
import { block, type DoubleMatrix, doubleMatrix, type Matrix, matrix, type Numbers } from './matrix';

/** Elements of the largest tile. */
const tileElements = 1 << 24;
/** Longest stretch of the inner dimension that one product sums over. */
const innerTile = 8192;
/** Products of different shapes that stay open: blocked factorisations meet about two for every halving. */
const openProducts = 24;
/** Rows of the blocks of a Gram matrix, of which those above the diagonal are mirrored. */
const gramBlock = 1024;
/** The same of one that is summed up in fp32. */
const sumBlock = 2048;

export interface ProductOptions {
  /** Takes the transpose of the first factor. */
  transA?: boolean;
  /** Takes the transpose of the second factor. */
  transB?: boolean;
}

/** A matrix that stays on the device, to be multiplied by thin ones. */
export interface HeldMatrix<T extends Numbers> {
  /** a·x, or aᵀ·x. */
  multiply(x: Matrix<T>, transposed?: boolean): Promise<Matrix<T>>;
  release(): void;
}

type Common<A extends Numbers, B extends Numbers> = A extends Float32Array ? B : A;

export class Products {
  readonly #programs = new ShapeCache<Program>((program) => program.release(), openProducts);
  #processor: Runtime | undefined;

  /** @param openProcessor the processor's runtime, asked for once where the device has no products in fp64. */
  constructor(
    private readonly runtime: Runtime,
    private readonly openProcessor?: () => Runtime,
  ) {}

  /** op(a)·op(b). */
  async multiply<A extends Numbers, B extends Numbers>(
    a: Matrix<A>,
    b: Matrix<B>,
    { transA = false, transB = false }: ProductOptions = {},
  ): Promise<Matrix<Common<A, B>>> {
    const [m, k] = transA ? [a.columns, a.rows] : [a.rows, a.columns];
    const [inner, n] = transB ? [b.columns, b.rows] : [b.rows, b.columns];
    invariant(k === inner, `the inner dimensions agree: ${k} and ${inner}`);
    const kTile = Math.min(k, innerTile);
    const mTile = Math.min(m, Math.max(1, Math.floor(tileElements / kTile)));
    const nTile = Math.min(n, Math.max(1, Math.floor(tileElements / Math.max(kTile, mTile))));
    if (kTile === k && mTile === m && nTile === n) return this.#tile(a, b, transA, transB);
    const out = (typeOf(a, b) === 'float64' ? doubleMatrix(m, n) : matrix(m, n)) as Matrix<Common<A, B>>;
    for (let n0 = 0; n0 < n; n0 += nTile) {
      const n1 = Math.min(n, n0 + nTile);
      for (let k0 = 0; k0 < k; k0 += kTile) {
        const k1 = Math.min(k, k0 + kTile);
        const right = transB ? block(b, n0, n1, k0, k1) : block(b, k0, k1, n0, n1);
        for (let m0 = 0; m0 < m; m0 += mTile) {
          const m1 = Math.min(m, m0 + mTile);
          const left = transA ? block(a, k0, k1, m0, m1) : block(a, m0, m1, k0, k1);
          add(out, await this.#tile(left, right, transA, transB), m0, n0);
        }
      }
    }
    return out;
  }

  /** a·aᵀ, summed in fp64: what is below the diagonal is computed once. `columns`: aᵀ·a. */
  async gram(a: Matrix<Numbers>, columns = false): Promise<DoubleMatrix> {
    const n = columns ? a.columns : a.rows;
    const rowsOf = (from: number, to: number) =>
      columns ? block(a, 0, a.rows, from, to) : block(a, from, to);
    const out = doubleMatrix(n, n);
    for (let i0 = 0; i0 < n; i0 += gramBlock) {
      const left = rowsOf(i0, Math.min(n, i0 + gramBlock));
      for (let j0 = 0; j0 <= i0; j0 += gramBlock) {
        const right = j0 === i0 ? left : rowsOf(j0, Math.min(n, j0 + gramBlock));
        const part = await this.#summed(left, right, columns);
        for (let i = 0; i < part.rows; i++) {
          for (let j = 0; j < part.columns; j++) {
            const value = part.data[i * part.columns + j]!;
            out.data[(i0 + i) * n + j0 + j] = value;
            out.data[(j0 + j) * n + i0 + i] = value;
          }
        }
      }
    }
    return out;
  }

  /** sum += aᵀ·a, on and below the diagonal alone: blocks beyond it are not computed. `mirror` completes the sum. */
  async addGram(sum: Matrix, a: Matrix): Promise<void> {
    const n = a.columns;
    const columnsOf = (from: number) => block(a, 0, a.rows, from, Math.min(n, from + sumBlock));
    for (let j0 = 0; j0 < n; j0 += sumBlock) {
      const right = columnsOf(j0);
      for (let i0 = j0; i0 < n; i0 += sumBlock) {
        const left = i0 === j0 ? right : columnsOf(i0);
        add(sum, await this.multiply(left, right, { transA: true }), i0, j0);
      }
    }
  }

  /** left·rightᵀ (or leftᵀ·right) in fp64, in stretches of the inner dimension. */
  async #summed(left: Matrix<Numbers>, right: Matrix<Numbers>, columns: boolean): Promise<DoubleMatrix> {
    const inner = columns ? left.rows : left.columns;
    const out = doubleMatrix(columns ? left.columns : left.rows, columns ? right.columns : right.rows);
    for (let k0 = 0; k0 < inner; k0 += innerTile) {
      const k1 = Math.min(inner, k0 + innerTile);
      const [l, r] = [left, right].map((m) => (columns ? block(m, k0, k1) : block(m, 0, m.rows, k0, k1)));
      const part = await this.#tile(l!, r!, columns, !columns, 'float64');
      add(out, part as DoubleMatrix, 0, 0);
    }
    return out;
  }

  /** A function that multiplies `a`, which stays on the device, by thin matrices of its type. `release` frees it. */
  async holding<T extends Numbers>(a: Matrix<T>): Promise<HeldMatrix<T>> {
    if (a.data.length > 8 * tileElements)
      return {
        multiply: (x, transposed = false) =>
          this.multiply(a, x, { transA: transposed }) as Promise<Matrix<T>>,
        release: () => {},
      };
    const type = typeOf(a);
    const runtime = this.#runtimeFor(type);
    const tensor = runtime.fromHost(type, [a.rows, a.columns], a.data);
    const programs = new ShapeCache<Program>((program) => program.release());
    return {
      multiply: async (x, transposed = false) => {
        const program = await programs.get(`${x.columns} ${transposed}`, () =>
          this.#open(
            [a.rows, a.columns],
            [x.rows, x.columns],
            transposed,
            false,
            [type, type],
            type,
            new Map([['a', tensor]]),
          ),
        );
        program.feed('b', x.data);
        await program.run();
        const rows = transposed ? a.columns : a.rows;
        return { rows, columns: x.columns, data: program.read('product') as T };
      },
      release: () => {
        programs.clear();
        tensor.release();
      },
    };
  }

  release(): void {
    this.#programs.clear();
    void this.#processor?.close();
    this.#processor = undefined;
  }

  async #tile<A extends Numbers, B extends Numbers>(
    left: Matrix<A>,
    right: Matrix<B>,
    transA: boolean,
    transB: boolean,
    type: 'float32' | 'float64' = typeOf(left, right),
  ): Promise<Matrix<Common<A, B>>> {
    const [a, b] = [left, right].map((x) => [x.rows, x.columns] as const) as [Shape, Shape];
    const given = [typeOf(left), typeOf(right)] as const;
    const program = await this.#programs.get(
      `${a.join()} ${b.join()} ${transA} ${transB} ${given.join()} ${type}`,
      () => this.#open(a, b, transA, transB, given, type, new Map()),
    );
    program.feed('a', left.data);
    program.feed('b', right.data);
    await program.run();
    const rows = transA ? left.columns : left.rows;
    const columns = transB ? right.rows : right.columns;
    return { rows, columns, data: program.read('product') as Common<A, B> };
  }

  #open(
    a: Shape,
    b: Shape,
    transA: boolean,
    transB: boolean,
    [typeA, typeB]: readonly [DType, DType],
    type: 'float32' | 'float64',
    shared: ReadonlyMap<string, DeviceTensor>,
  ): Promise<Program> {
    const builder = new GraphBuilder('product');
    const given = [builder.input('a', typeA, a), builder.input('b', typeB, b)];
    const [left, right] = given.map((x) => (x.dtype === type ? x : builder.op('Cast', [x], { to: type })));
    const product = builder.gemm(left!, right!, { transA, transB });
    const graph = lower(builder.finish([{ name: 'product', value: product }]));
    return Program.open(this.#runtimeFor(type), graph, shared);
  }

  #runtimeFor(type: 'float32' | 'float64'): Runtime {
    if (type === 'float32' || this.runtime.device.kind !== 'webgpu') return this.runtime;
    this.#processor ??= this.openProcessor?.();
    return this.#processor ?? this.runtime;
  }
}

type Shape = readonly [number, number];

function typeOf(...matrices: readonly Matrix<Numbers>[]): 'float32' | 'float64' {
  return matrices.some(({ data }) => data instanceof Float64Array) ? 'float64' : 'float32';
}

/** Copies what is below the diagonal to above it, in tiles, so that both sides stay in the cache. */
export function mirror({ rows: n, data }: Matrix<Numbers>): void {
  const tile = 64;
  for (let i0 = 0; i0 < n; i0 += tile)
    for (let j0 = 0; j0 <= i0; j0 += tile)
      for (let i = i0; i < Math.min(n, i0 + tile); i++)
        for (let j = j0; j < Math.min(i, j0 + tile); j++) data[j * n + i] = data[i * n + j]!;
}

/** out[row…, column…] += tile. */
function add<T extends Numbers>(out: Matrix<T>, tile: Matrix<T>, row: number, column: number): void {
  for (let i = 0; i < tile.rows; i++) {
    const to = (row + i) * out.columns + column;
    const from = i * tile.columns;
    for (let j = 0; j < tile.columns; j++) out.data[to + j]! += tile.data[from + j]!;
  }
}
