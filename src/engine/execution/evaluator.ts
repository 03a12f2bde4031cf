// Forward passes for measuring, dropout off: the summed loss of a batch, or its logits. One program per batch shape; weights
// and parameters are those that the caller holds on the device.
import type { AdapterPlan } from '../adapters/plan';
import { evaluationGraph } from '../compile/evaluationGraph';
import { planSlabs, relayout, type Slab } from '../compile/slabs';
import type { Batch } from '../data';
import { invariant } from '../errors';
import type { Model } from '../models/architecture';
import type { DeviceTensor, Runtime } from '../session';
import type { BaseWeights } from './baseWeights';
import { feedBatch } from './feedBatch';
import { loadBase, Program } from './program';
import { ShapeCache } from './shapeCache';

/** An adapter's trained tensors as graphs take them: slabs, and the device tensors that hold them. */
export interface Parameters {
  plan: AdapterPlan;
  slabs: readonly Slab[];
  bindings: readonly (readonly [string, DeviceTensor])[];
}

export interface EvaluatorOptions {
  runtime: Runtime;
  model: Model;
  weights: BaseWeights;
  /** Undefined for the model alone. */
  parameters?: Parameters;
}

export class Evaluator {
  readonly #programs = new ShapeCache<Program>((program) => program.release());
  /** Outputs of `observed`, the same for every shape. */
  #observed: ReadonlyMap<string, string> = new Map();
  #running: Program | undefined;

  constructor(private readonly o: EvaluatorOptions) {}

  /** Σ −log p over a batch's trained tokens. */
  async loss(batch: Batch, packing: boolean): Promise<number> {
    return (await this.#run(batch, packing, 'loss')).fetchScalar('loss')();
  }

  /** Logits [rows·length, vocabulary], row-major. */
  async logits(batch: Batch, packing = false): Promise<Float32Array> {
    return (await (await this.#run(batch, packing, 'logits')).fetch('logits')()) as Float32Array;
  }

  /** What the adapter's method hands out, by `<module path>.<name>`: [rows·length, k], row-major. */
  async observed(batch: Batch, packing = false): Promise<ReadonlyMap<string, Float32Array>> {
    const program = await this.#run(batch, packing, 'observed');
    const fetched = [...this.#observed].map(([output, name]) => [name, program.fetch(output)] as const);
    const found = new Map<string, Float32Array>();
    for (const [name, values] of fetched) found.set(name, (await values()) as Float32Array);
    return found;
  }

  /** Ends the pass that runs now; the call that started it rejects with `run-cancelled`. */
  cancel(): void {
    this.#running?.cancel();
  }

  release(): void {
    this.#programs.clear();
  }

  async #run(batch: Batch, packing: boolean, result: 'loss' | 'logits' | 'observed'): Promise<Program> {
    const { runtime, model, weights, parameters } = this.o;
    const { rows, length } = batch;
    const program = await this.#programs.get(`${result} ${rows}x${length} ${packing}`, async () => {
      const { graph, baseInputs, observed } = evaluationGraph({
        model,
        ...(parameters ? { plan: parameters.plan } : {}),
        slabs: parameters?.slabs ?? [],
        rows,
        length,
        packing,
        result,
        precision: weights.precision,
        packed: weights.packed,
        joining: weights.joining,
      });
      if (result === 'observed') this.#observed = observed;
      const shared = new Map([...(parameters?.bindings ?? []), ...(await loadBase(baseInputs, weights))]);
      return Program.open(runtime, graph, shared);
    });
    feedBatch(program, batch, 1);
    this.#running = program;
    try {
      await program.start();
    } finally {
      this.#running = undefined;
    }
    return program;
  }
}

/** Puts an adapter's values, by trained tensor's name in the files' layout, on the device. `release` frees them. */
export function uploadParameters(
  runtime: Runtime,
  plan: AdapterPlan,
  values: ReadonlyMap<string, Float32Array>,
): Parameters & { release(): void } {
  const slabs = planSlabs(plan.tensors);
  const bindings = slabs.map((slab) => {
    const data = new Float32Array(slab.length);
    for (const { tensor, offset, count } of slab.entries) {
      const source = values.get(tensor.name);
      invariant(source?.length === count, `${tensor.name} has ${count} values`);
      data.set(relayout(source, tensor, 'to-device'), offset);
    }
    return [slab.name, runtime.fromHost('float32', [slab.length], data)] as const;
  });
  const release = (): void => {
    for (const [, tensor] of bindings) tensor.release();
  };
  return { plan, slabs, bindings, release };
}
