// Adds ΔW = b·a to weights in host memory, with the products on the runtime: a piece of rows at a time, so that the update
// of a large weight never exists as a whole.
import type { WeightDelta } from '../adapters/merge';
import { GraphBuilder } from '../graph/builder';
import { lower } from '../graph/passes/lower';
import type { Runtime } from '../session';
import { Program } from './program';
import { ShapeCache } from './shapeCache';

/** Elements of one piece: 64 MiB in fp32. */
const pieceElements = 1 << 24;

export class WeightUpdater {
  readonly #programs = new ShapeCache<Program>((program) => program.release());

  constructor(private readonly runtime: Runtime) {}

  /** weight += ΔW, or ΔWᵀ where the weight lies transposed; weight [out, in] or [in, out] accordingly. */
  async add(weight: Float32Array, { form, inFeatures, outFeatures, transposed }: WeightDelta): Promise<void> {
    const { rank, a, b } = form;
    const [rows, columns] = transposed ? [inFeatures, outFeatures] : [outFeatures, inFeatures];
    // Row by row: b·a, and for the transposed weight aᵀ·bᵀ.
    const left = transposed ? transpose(a, rank, inFeatures) : b;
    const right = transposed ? b : a;
    const piece = Math.max(1, Math.min(rows, Math.floor(pieceElements / columns)));
    for (let from = 0; from < rows; from += piece) {
      const count = Math.min(piece, rows - from);
      const program = await this.#program(count, columns, rank, transposed);
      const part = weight.subarray(from * columns, (from + count) * columns);
      program.feed('weight', part);
      program.feed('left', left.subarray(from * rank, (from + count) * rank));
      program.feed('right', right);
      await program.run();
      part.set(program.read('merged') as Float32Array);
    }
  }

  release(): void {
    this.#programs.clear();
  }

  #program(rows: number, columns: number, rank: number, transposed: boolean): Promise<Program> {
    return this.#programs.get(`${rows}x${columns}x${rank} ${transposed}`, () => {
      const b = new GraphBuilder('weight update');
      const weight = b.input('weight', 'float32', [rows, columns]);
      const left = b.input('left', 'float32', [rows, rank]);
      const right = b.input('right', 'float32', transposed ? [columns, rank] : [rank, columns]);
      const product = b.gemm(left, right, { transB: transposed });
      const graph = lower(b.finish([{ name: 'merged', value: b.add(weight, product) }]));
      return Program.open(this.runtime, graph, new Map());
    });
  }
}

/** [rows, columns] → [columns, rows]. */
function transpose(x: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j * rows + i] = x[i * columns + j]!;
  return out;
}
