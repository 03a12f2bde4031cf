// Runs the compiled programs: micro-batches, updates, evaluation. One gradient program per batch shape (the few most recent
// stay open), one update program for all. Knows no files, no events and no schedule.
import type { Recipe } from '../../protocol/recipe';
import type { AdapterPlan } from '../adapters/plan';
import { dropoutOffsets, dropoutPool } from '../compile/dropout';
import { dropoutPoolFor, type GradientProgram, gradientGraph } from '../compile/gradientGraph';
import { updateGraph } from '../compile/updateGraph';
import type { Batch } from '../data';
import type { BaseWeights } from '../execution/baseWeights';
import { Evaluator, type Parameters } from '../execution/evaluator';
import { feedBatch } from '../execution/feedBatch';
import { loadBase, Program } from '../execution/program';
import { ShapeCache } from '../execution/shapeCache';
import type { Model } from '../models/architecture';
import type { OptimizerSettings } from '../optim/optimizer';
import { optimizerOf } from '../optim/registry';
import type { DeviceTensor, Runtime } from '../session';
import { TrainingState } from './state';

/** The settings that decide what the programs compute. */
export type TrainerSettings = OptimizerSettings &
  Pick<Recipe, 'seed' | 'packing' | 'gradient_accumulation_steps' | 'gradient_checkpointing'>;

export interface TrainerOptions {
  runtime: Runtime;
  model: Model;
  weights: BaseWeights;
  plan: AdapterPlan;
  settings: TrainerSettings;
  /** Most positions of a training batch: sizes the dropout pool. */
  largestBatchTokens: number;
}

/** What one micro-batch gave. */
export interface MicroStep {
  /** Σ weight · −log p over its trained tokens. */
  loss: number;
  /** Losses that the adapter adds, coefficient included. */
  extra: number;
}

export class Trainer {
  readonly #gradients = new ShapeCache<{ program: Program; compiled: GradientProgram }>((entry) =>
    entry.program.release(),
  );
  /** What is trained, as other programs bind it. */
  readonly parameters: Parameters;
  readonly #evaluator: Evaluator;
  readonly #poolLength: number;
  #pool: DeviceTensor | undefined;
  #update: Program | undefined;
  #running: Program | undefined;

  private constructor(
    private readonly o: TrainerOptions,
    readonly state: TrainingState,
  ) {
    this.#poolLength = dropoutPoolFor(o.plan, o.largestBatchTokens);
    this.parameters = { plan: o.plan, slabs: state.slabs, bindings: state.parameterBindings() };
    this.#evaluator = new Evaluator({
      runtime: o.runtime,
      model: o.model,
      weights: o.weights,
      parameters: this.parameters,
    });
  }

  static async create(options: TrainerOptions): Promise<Trainer> {
    const { settings, plan } = options;
    const state = await TrainingState.initial(
      options.runtime,
      plan.tensors,
      optimizerOf(settings.optim),
      settings.seed,
      (tensor) => options.weights.values(tensor),
    );
    return new Trainer(options, state);
  }

  /**
   * Loss and gradients of one micro-batch, added to what is there if `carry`.
   * @param trainedTokens of the whole accumulated batch: what the loss is averaged over.
   * @param microStep counted over the whole run; picks the dropout masks.
   */
  async accumulate(
    batch: Batch,
    trainedTokens: number,
    carry: boolean,
    microStep: number,
  ): Promise<MicroStep> {
    const { program, compiled } = await this.#gradientProgram(batch);
    feedBatch(program, batch, 1 / trainedTokens);
    program.feed('carry', Uint8Array.of(carry ? 1 : 0));
    dropoutOffsets(this.o.settings.seed, microStep, compiled.dropoutMasks).forEach((offset, i) => {
      program.feed(`dropout_offset.${i}`, BigInt64Array.of(BigInt(offset)));
    });
    await this.#run(program);
    const extra = compiled.extraLosses.reduce(
      (sum, loss) => sum + loss.coefficient * program.readScalar(loss.name),
      0,
    );
    return { loss: program.readScalar('loss'), extra };
  }

  /** Applies the accumulated gradients; returns their norm before clipping. @param step counted from 1. */
  async update(step: number, learningRate: number): Promise<number> {
    const { runtime, settings } = this.o;
    const optimizer = optimizerOf(settings.optim);
    this.#update ??= await Program.open(
      runtime,
      updateGraph(this.state.slabs, optimizer, settings),
      new Map(this.state.updateBindings()),
    );
    const scalars = optimizer.scalars(settings, step, learningRate);
    for (const [name, value] of Object.entries(scalars)) this.#update.feedScalar(name, value);
    await this.#run(this.#update);
    return this.#update.readScalar('norm');
  }

  /** Σ −log p over a batch's trained tokens, dropout off. */
  evaluate(batch: Batch, packing: boolean): Promise<number> {
    return this.#evaluator.loss(batch, packing);
  }

  /** Ends the program that runs now; the call that started it rejects with `run-cancelled`. */
  cancel(): void {
    this.#running?.cancel();
    this.#evaluator.cancel();
  }

  release(): void {
    this.#gradients.clear();
    this.#evaluator.release();
    this.#update?.release();
    this.#pool?.release();
    this.state.release();
  }

  #gradientProgram(batch: Batch): Promise<{ program: Program; compiled: GradientProgram }> {
    const { runtime, model, plan, weights, settings } = this.o;
    return this.#gradients.get(`${batch.rows}x${batch.length}`, async () => {
      const compiled = gradientGraph({
        model,
        plan,
        slabs: this.state.slabs,
        rows: batch.rows,
        length: batch.length,
        packing: settings.packing,
        accumulate: settings.gradient_accumulation_steps > 1,
        checkpointing: settings.gradient_checkpointing,
        dropoutPool: this.#poolLength,
      });
      const shared = new Map([
        ...this.state.gradientBindings(),
        ...(await loadBase(compiled.baseInputs, weights)),
      ]);
      if (this.#poolLength > 0) shared.set('dropout_pool', this.#dropoutPool());
      return { program: await Program.open(runtime, compiled.graph, shared), compiled };
    });
  }

  #dropoutPool(): DeviceTensor {
    const { settings, plan } = this.o;
    this.#pool ??= this.o.runtime.fromHost(
      'bool',
      [this.#poolLength],
      dropoutPool(settings.seed, plan.settings.lora_dropout, this.#poolLength),
    );
    return this.#pool;
  }

  async #run(program: Program): Promise<void> {
    this.#running = program;
    try {
      await program.run();
    } finally {
      this.#running = undefined;
    }
  }
}
