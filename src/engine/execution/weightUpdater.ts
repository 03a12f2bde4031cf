// Puts adapters into weights in host memory, with the products on the runtime. ΔW = b·a is added a piece of rows at a time, so
// that the update of a large weight never exists as a whole; a method that is not additive makes the weight anew.
import type { WeightDelta, WeightRebuilt } from '../adapters/merge';
import { invariant } from '../errors';
import { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
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

  /** weight ← what the adapter's method makes of it; the weight lies as in the checkpoint. */
  async rebuild(weight: Float32Array, { plan, site, tensors }: WeightRebuilt): Promise<void> {
    const { inFeatures, outFeatures, module } = site;
    const turned = module.kind !== 'linear';
    const b = new GraphBuilder('weight rebuilt');
    const stored = b.input(
      'weight',
      'float32',
      turned ? [inFeatures, outFeatures] : [outFeatures, inFeatures],
    );
    const shapes = new Map(plan.tensors.map(({ name, shape }) => [name, shape]));
    const taken = new Map<string, Value>();
    const parameter = (name: string): Value => {
      const shape = shapes.get(`${site.path}.${name}`) ?? shapes.get(name);
      invariant(shape && plan.variant.mergedWeight, `${name} of ${site.path} is planned`);
      if (!taken.has(name)) taken.set(name, b.input(`tensor:${name}`, 'float32', shape));
      return taken.get(name)!;
    };
    const merged = plan.variant.mergedWeight!(
      { b, site, weight: turned ? b.transpose(stored, [1, 0]) : stored, parameter },
      plan.settings,
    );
    const value = turned ? b.transpose(merged, [1, 0]) : merged;
    const program = await Program.open(this.runtime, lower(b.finish([{ name: 'merged', value }])), new Map());
    try {
      program.feed('weight', weight);
      for (const name of taken.keys()) program.feed(`tensor:${name}`, tensors(name));
      await program.run();
      weight.set(program.read('merged') as Float32Array);
    } finally {
      program.release();
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
