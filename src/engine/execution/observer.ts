// What goes into modules of the base model on given batches, read to the host. One program per batch shape and selection.
import type { Site } from '../adapters/variant';
import { observationGraph } from '../compile/observationGraph';
import type { Batch } from '../data';
import { type Matrix, matrix } from '../linalg/matrix';
import type { Model } from '../models/architecture';
import type { Runtime } from '../session';
import type { BaseWeights } from './baseWeights';
import { feedBatch } from './feedBatch';
import { loadBase, Program } from './program';
import { ShapeCache } from './shapeCache';

export interface Observed {
  /** Paths of the modules that take this input. */
  paths: readonly string[];
  /** [rows·length, in], padding included. */
  x: Matrix;
}

export class Observer {
  readonly #programs: ShapeCache<{ program: Program; outputs: ReadonlyMap<string, readonly string[]> }>;

  constructor(
    private readonly o: {
      runtime: Runtime;
      model: Model;
      weights: Pick<BaseWeights, 'tensor' | 'precision' | 'packed'>;
      packing: boolean;
    },
    /** Programs that stay open, each with the memory of its results; default as many as other programs. */
    open?: number,
  ) {
    this.#programs = new ShapeCache(({ program }) => program.release(), open);
  }

  /** The sites by their input: those of one group are given the same value. Opens nothing. */
  shared({ rows, length }: Pick<Batch, 'rows' | 'length'>, sites: readonly Site[]): Site[][] {
    const byPath = new Map(sites.map((site) => [site.path, site]));
    return [...this.#compile(rows, length, sites).outputs.values()].map((paths) =>
      paths.map((path) => byPath.get(path)!),
    );
  }

  #compile(rows: number, length: number, sites: readonly Site[]) {
    const { model, weights, packing } = this.o;
    const { precision, packed } = weights;
    return observationGraph({ model, sites, rows, length, packing, precision, packed });
  }

  /** One after the other, so that only one of them need be kept. */
  async *inputs(batch: Batch, sites: readonly Site[]): AsyncGenerator<Observed> {
    const { runtime, weights } = this.o;
    const { rows, length } = batch;
    const key = `${rows}x${length} ${sites[0]?.path} ${sites.length}`;
    const { program, outputs } = await this.#programs.get(key, async () => {
      const compiled = this.#compile(rows, length, sites);
      const shared = new Map(await loadBase(compiled.baseInputs, weights));
      return { program: await Program.open(runtime, compiled.graph, shared), outputs: compiled.outputs };
    });
    feedBatch(program, batch, 1);
    await program.run();
    const widths = new Map(sites.map((site) => [site.path, site.inFeatures]));
    for (const [name, paths] of outputs) {
      const data = program.read(name) as Float32Array;
      yield { paths, x: matrix(rows * length, widths.get(paths[0]!)!, data) };
    }
  }

  release(): void {
    this.#programs.clear();
  }
}
