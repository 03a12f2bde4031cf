// Matrix products on the runtime. Matrices of any size go in and come out in host memory; they pass through the device in
// tiles, so that no tensor there exceeds 64 MiB.

import { invariant } from '../errors';
import { Program } from '../execution/program';
import { ShapeCache } from '../execution/shapeCache';
import { GraphBuilder } from '../graph/builder';
import { lower } from '../graph/passes/lower';
import type { Runtime } from '../session';
import { block, type Matrix, matrix } from './matrix';

/** Elements of the largest tile: 64 MiB in fp32. */
const tileElements = 1 << 24;
/** Longest stretch of the inner dimension that one product sums over. */
const innerTile = 8192;

export interface ProductOptions {
  /** Takes the transpose of the first factor. */
  transA?: boolean;
  /** Takes the transpose of the second factor. */
  transB?: boolean;
}

export class Products {
  readonly #programs = new ShapeCache<Program>((program) => program.release());

  constructor(private readonly runtime: Runtime) {}

  /** op(a)·op(b), fp32. */
  async multiply(
    a: Matrix,
    b: Matrix,
    { transA = false, transB = false }: ProductOptions = {},
  ): Promise<Matrix> {
    const [m, k] = transA ? [a.columns, a.rows] : [a.rows, a.columns];
    const [inner, n] = transB ? [b.columns, b.rows] : [b.rows, b.columns];
    invariant(k === inner, `the inner dimensions agree: ${k} and ${inner}`);
    const kTile = Math.min(k, innerTile);
    const mTile = Math.min(m, Math.max(1, Math.floor(tileElements / kTile)));
    const nTile = Math.min(n, Math.max(1, Math.floor(tileElements / Math.max(kTile, mTile))));
    if (kTile === k && mTile === m && nTile === n) return this.#tile(a, b, transA, transB);
    const out = matrix(m, n);
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

  /** A function that multiplies `a`, which stays on the device, by thin matrices: for iterations. `release` frees it. */
  async holding(a: Matrix): Promise<{ multiply(b: Matrix): Promise<Matrix>; release(): void }> {
    if (a.data.length > 4 * tileElements) return { multiply: (b) => this.multiply(a, b), release: () => {} };
    const tensor = this.runtime.fromHost('float32', [a.rows, a.columns], a.data);
    const programs = new Map<number, Program>();
    return {
      multiply: async (b) => {
        let program = programs.get(b.columns);
        if (!program) {
          const graph = productGraph([a.rows, a.columns], [b.rows, b.columns], false, false);
          program = await Program.open(this.runtime, graph, new Map([['a', tensor]]));
          programs.set(b.columns, program);
        }
        program.feed('b', b.data);
        await program.run();
        return matrix(a.rows, b.columns, program.read('product') as Float32Array);
      },
      release: () => {
        for (const program of programs.values()) program.release();
        tensor.release();
      },
    };
  }

  release(): void {
    this.#programs.clear();
  }

  async #tile(left: Matrix, right: Matrix, transA: boolean, transB: boolean): Promise<Matrix> {
    const shapes = [left, right].map((x) => [x.rows, x.columns] as const);
    const program = await this.#programs.get(`${shapes.join(' ')} ${transA} ${transB}`, () =>
      Program.open(this.runtime, productGraph(shapes[0]!, shapes[1]!, transA, transB), new Map()),
    );
    program.feed('a', left.data);
    program.feed('b', right.data);
    await program.run();
    const rows = transA ? left.columns : left.rows;
    const columns = transB ? right.rows : right.columns;
    return matrix(rows, columns, program.read('product') as Float32Array);
  }
}

function productGraph(a: readonly number[], b: readonly number[], transA: boolean, transB: boolean) {
  const builder = new GraphBuilder('product');
  const left = builder.input('a', 'float32', a);
  const right = builder.input('b', 'float32', b);
  return lower(builder.finish([{ name: 'product', value: builder.gemm(left, right, { transA, transB }) }]));
}

/** out[row…, column…] += tile. */
function add(out: Matrix, tile: Matrix, row: number, column: number): void {
  for (let i = 0; i < tile.rows; i++) {
    const to = (row + i) * out.columns + column;
    const from = i * tile.columns;
    for (let j = 0; j < tile.columns; j++) out.data[to + j]! += tile.data[from + j]!;
  }
}
