// The leading singular directions of a gradient that lies on the device. Small matrices come to the host and are taken apart by
// all eigenvalues; of large ones only thin factors move: a subspace iteration whose products run on the device, those
// of the r×r factorisations too. Deterministic by seed and key.
import { Program } from '../execution/program';
import { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import { lower } from '../graph/passes/lower';
import { Random } from '../random';
import type { DeviceTensor, Runtime } from '../session';
import { shiftedInverseCholesky } from './cholesky';
import { productsOn } from './deviceProducts';
import { doubleMatrix, type Matrix, matrix, rounded, transposed, widened } from './matrix';
import { orthonormalColumns } from './orthonormal';
import type { Products } from './products';
import { gramOfRows, symmetricEigen, symmetricEigenByProducts } from './symmetric';

export interface Gradient {
  /** [rows·columns], row-major. */
  gradient: DeviceTensor;
  rows: number;
  columns: number;
  side: 'left' | 'right';
  /** At most the smaller of rows and columns. */
  rank: number;
  /** Directions of an earlier gradient to begin from, shaped as the result. */
  start: Matrix | undefined;
  seed: number;
  /** Names the stream of random numbers. */
  key: string;
}

/** Matrices whose smaller side is no larger are taken apart whole. */
const denseSize = 128;
/** Directions beyond r that the iteration carries along. */
const oversampling = 8;
/** Passes over GᵀG: from random directions, and from those of an earlier gradient. */
const passes = { fresh: 8, warm: 4 };

/**
 * [rows, r] for the left side, [r, columns] for the right; orthonormal, from the largest singular value down, the largest
 * entry of each direction positive. Undefined where the gradient is not finite.
 */
export async function leadingDirections(runtime: Runtime, g: Gradient): Promise<Matrix | undefined> {
  const small = Math.min(g.rows, g.columns) <= denseSize;
  const columns = small ? wholeDirections(runtime, g) : await new DeviceIteration(runtime, g).run();
  if (!columns) return undefined;
  fixSigns(columns);
  return g.side === 'left' ? columns : transposed(columns);
}

/** [side, r] */
function wholeDirections(runtime: Runtime, g: Gradient): Matrix | undefined {
  const data = runtime.read(g.gradient) as Float32Array;
  if (!data.every(Number.isFinite)) return undefined;
  const whole = matrix(g.rows, g.columns, data);
  const wide = g.rows <= g.columns;
  const { vectors } = symmetricEigen(gramOfRows(wide ? whole : transposed(whole)));
  const size = Math.min(g.rows, g.columns);
  const own = matrix(size, g.rank);
  for (let j = 0; j < g.rank; j++) for (let i = 0; i < size; i++) own.data[i * g.rank + j] = vectors[j]![i]!;
  if (wide === (g.side === 'left')) return own;
  // The other side's directions are G·v or Gᵀ·u, up to their lengths.
  const [tall, length] = wide ? [transposed(whole), g.columns] : [whole, g.rows];
  const image = matrix(length, g.rank);
  for (let i = 0; i < length; i++) {
    for (let j = 0; j < g.rank; j++) {
      let sum = 0;
      for (let k = 0; k < size; k++) sum += tall.data[i * size + k]! * vectors[j]![k]!;
      image.data[i * g.rank + j] = sum;
    }
  }
  return orthonormalColumns(image, new Random(g.seed, 'projection', g.key)).q;
}

/** X ← orthonormal(H·X) with H = GᵀG or GGᵀ, X [n, k] on the device. */
class DeviceIteration {
  readonly #n: number;
  readonly #k: number;
  readonly #random: Random;

  constructor(
    private readonly runtime: Runtime,
    private readonly g: Gradient,
  ) {
    this.#n = g.side === 'left' ? g.rows : g.columns;
    this.#k = Math.min(g.rank + oversampling, g.rows, g.columns);
    this.#random = new Random(g.seed, 'projection', g.key);
  }

  async run(): Promise<Matrix | undefined> {
    const { runtime, g } = this;
    const [n, k] = [this.#n, this.#k];
    const x = runtime.fromHost('float32', [n, k], this.#start().data);
    const y = runtime.allocate('float32', [n, k]);
    const products = productsOn(runtime);
    const opened: Program[] = [];
    const open = async (graph: Parameters<typeof Program.open>[1], shared: [string, DeviceTensor][]) => {
      const program = await Program.open(runtime, graph, new Map(shared));
      opened.push(program);
      return program;
    };
    try {
      const apply = await open(this.#applyGraph(), [
        ['gradient', g.gradient],
        ['x', x],
        ['y', y],
      ]);
      const there = await open(this.#turnGraph(), [
        ['from', y],
        ['to', x],
      ]);
      const back = await open(this.#turnGraph(), [
        ['from', x],
        ['to', y],
      ]);
      const turn = async (program: Program, by: Float32Array): Promise<Float32Array> => {
        program.feed('by', by);
        await program.run();
        return program.read('gram') as Float32Array;
      };
      const rounds = g.start ? passes.warm : passes.fresh;
      for (let i = 0; i < rounds; i++) {
        await apply.run();
        let gram = apply.read('gram') as Float32Array;
        if (!gram.every(Number.isFinite)) return undefined;
        // Three times: each makes the columns more orthogonal, the first with a shift that keeps it possible.
        gram = await turn(there, await inverseFactor(products, gram, k, 1e-6));
        gram = await turn(back, await inverseFactor(products, gram, k, 1e-7));
        await turn(there, await inverseFactor(products, gram, k, 1e-9));
      }
      // Within the subspace: the eigenvectors of XᵀHX, from the largest down.
      await apply.run();
      const inner = widened(matrix(k, k, apply.read('inner') as Float32Array));
      const { vectors } = await symmetricEigenByProducts(products, inner);
      await turn(back, rounded(vectors).data);
      const whole = runtime.read(y) as Float32Array;
      const result = matrix(n, g.rank);
      for (let i = 0; i < n; i++) result.data.set(whole.subarray(i * k, i * k + g.rank), i * g.rank);
      return orthonormal(result) ? result : orthonormalColumns(result, this.#random).q;
    } finally {
      products.release();
      for (const program of opened) program.release();
      x.release();
      y.release();
    }
  }

  /** Earlier directions, and random ones beside them. */
  #start(): Matrix {
    const [n, k, { side, start, rank }] = [this.#n, this.#k, this.g];
    const x = matrix(n, k);
    for (let i = 0; i < x.data.length; i++) x.data[i] = this.#random.normal() / Math.sqrt(n);
    if (start) {
      for (let i = 0; i < n; i++)
        for (let j = 0; j < rank; j++)
          x.data[i * k + j] = side === 'left' ? start.data[i * rank + j]! : start.data[j * n + i]!;
    }
    return x;
  }

  /** y = H·x; `gram` = yᵀy over the square of its largest column, `inner` = xᵀHx over its largest entry. */
  #applyGraph() {
    const { rows, columns, side } = this.g;
    const b = new GraphBuilder('subspace iteration');
    const gradient = b.reshape(b.input('gradient', 'float32', [rows * columns]), [rows, columns]);
    const x = b.input('x', 'float32', [this.#n, this.#k]);
    // Scaled, since squares of small gradients would leave fp32's range.
    const size = b.op(
      'Max',
      [b.op('ReduceMax', [b.op('Abs', [gradient], {})], { axes: [0, 1], keepdims: 0 }), b.scalar(1e-30)],
      {},
    );
    const g = b.div(gradient, size);
    const right = side === 'right';
    const half = b.gemm(g, x, { transA: !right });
    const y = b.gemm(g, half, { transA: right });
    const inner = b.gemm(half, half, { transA: true });
    return lower(
      b.finish([
        { name: 'y', value: y },
        { name: 'gram', value: gramOf(b, y) },
        { name: 'inner', value: inner },
      ]),
      this.runtime.device.kind,
    );
  }

  /** to = from·by, and its Gram matrix. */
  #turnGraph() {
    const b = new GraphBuilder('turn');
    const from = b.input('from', 'float32', [this.#n, this.#k]);
    const to = b.gemm(from, b.input('by', 'float32', [this.#k, this.#k]));
    return lower(
      b.finish([
        { name: 'to', value: to },
        { name: 'gram', value: gramOf(b, to) },
      ]),
    );
  }
}

function gramOf(b: GraphBuilder, x: Value): Value {
  return b.gemm(x, x, { transA: true });
}

/** L⁻ᵀ of S + shift·trace·I = LLᵀ, [k, k]: what makes columns with the Gram matrix S orthonormal. */
async function inverseFactor(
  products: Products,
  data: Float32Array,
  k: number,
  shift: number,
): Promise<Float32Array> {
  const gram = doubleMatrix(k, k);
  for (let i = 0; i < k; i++)
    for (let j = 0; j < k; j++) gram.data[i * k + j] = (data[i * k + j]! + data[j * k + i]!) / 2;
  return rounded(transposed(await shiftedInverseCholesky(products, gram, shift))).data;
}

/** Whether columns are orthonormal to 1e-4. */
function orthonormal({ rows, columns, data }: Matrix): boolean {
  for (let j = 0; j < columns; j++) {
    let [length, next] = [0, 0];
    for (let i = 0; i < rows; i++) {
      const value = data[i * columns + j]!;
      length += value * value;
      next += value * data[i * columns + ((j + 1) % columns)]!;
    }
    const overlap = columns === 1 ? 0 : Math.abs(next);
    if (!(Math.abs(length - 1) < 1e-4 && overlap < 1e-4)) return false;
  }
  return true;
}

/** Makes the largest entry of each column positive. */
function fixSigns({ rows, columns, data }: Matrix): void {
  for (let j = 0; j < columns; j++) {
    let largest = 0;
    for (let i = 0; i < rows; i++) {
      const value = data[i * columns + j]!;
      if (Math.abs(value) > Math.abs(largest)) largest = value;
    }
    if (largest < 0) for (let i = 0; i < rows; i++) data[i * columns + j]! *= -1;
  }
}
