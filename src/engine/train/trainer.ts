// Runs the compiled programs: micro-batches, updates, evaluation. One gradient program per batch shape (the few most recent
// stay open), one update program for all. Knows no files, no events and no schedule.
import type { Recipe } from '../../protocol/recipe';
import { type AdapterPlan, tensorsOfSite } from '../adapters/plan';
import type { HostPart, StepAccess } from '../adapters/variant';
import { dropoutOffsets, dropoutPool } from '../compile/dropout';
import { dropoutPoolFor, type GradientProgram, gradientGraph } from '../compile/gradientGraph';
import { unscaleGraph } from '../compile/unscaleGraph';
import { transformConstants } from '../compile/updateGraph';
import type { Batch } from '../data';
import type { BaseWeights } from '../execution/baseWeights';
import { Evaluator, type Parameters } from '../execution/evaluator';
import { feedBatch } from '../execution/feedBatch';
import { type Paging, pagingFor } from '../execution/paging';
import { loadBase, Program } from '../execution/program';
import { ShapeCache } from '../execution/shapeCache';
import type { Model } from '../models/architecture';
import type { AttentionBuilder } from '../models/attention';
import type { OptimizerSettings } from '../optim/optimizer';
import type { DeviceTensor, Runtime } from '../session';
import { LossScale } from './lossScale';
import { TrainingState } from './state';
import { Updater } from './updater';

/** The settings that decide what the programs compute. */
export type TrainerSettings = OptimizerSettings &
  Pick<Recipe, 'seed' | 'packing' | 'gradient_accumulation_steps' | 'gradient_checkpointing'>;

/** Where no recipe speaks: AdamW with clipping and without decay, one micro-batch a step. */
export const plainTrainer: TrainerSettings = {
  optim: 'adamw',
  weight_decay: 0,
  adam_beta1: 0.9,
  adam_beta2: 0.999,
  adam_epsilon: 1e-8,
  max_grad_norm: 1,
  settings: {},
  seed: 1,
  packing: false,
  gradient_accumulation_steps: 1,
  gradient_checkpointing: 'selective',
};

export interface TrainerOptions {
  runtime: Runtime;
  model: Model;
  weights: BaseWeights;
  plan: AdapterPlan;
  settings: TrainerSettings;
  /** Most positions of a training batch: sizes the dropout pool. */
  largestBatchTokens: number;
  /** Of the gradient programs; by default every earlier token. Evaluation always has that. */
  attention?: AttentionBuilder;
  /** Folder for state that a paged optimizer spills; without one, nothing is spilled. */
  spillFolder?: string;
  /** Where the state of a paged optimizer lies; by default as device and settings have it. */
  paging?: Paging;
  /** Parameters that a paged optimizer updates at once. */
  windowLength?: number;
  /** Default true; see `TrainingState.initial`. */
  inPlace?: boolean;
  /** Optimizer steps of the run, for methods with a schedule of their own. */
  totalSteps?: number;
}

/** What one micro-batch gave. */
export interface MicroStep {
  /** Σ weight · −log p over its trained tokens. */
  loss: number;
  /** Losses that the adapter adds, coefficient included. */
  extra: number;
}

/** A result that the device is still at work on; asking for it waits. */
export type Later<T> = () => Promise<T>;

export class Trainer {
  readonly #gradients = new ShapeCache<{ program: Program; compiled: GradientProgram }>((entry) =>
    entry.program.release(),
  );
  /** What is trained, as other programs bind it. */
  readonly parameters: Parameters;
  readonly #evaluator: Evaluator;
  readonly #poolLength: number;
  #pool: DeviceTensor | undefined;
  #update: Updater | undefined;
  #running: Program | undefined;
  /** Inputs of the update that the method's gradient transform takes. */
  readonly #constants: DeviceTensor[] = [];
  /** What the method does on the host. */
  readonly host: HostPart | undefined;
  /** Of float16 runs. */
  readonly lossScale: LossScale | undefined;
  #unscale: Program | undefined;
  #notes: string[] = [];

  private constructor(
    private readonly o: TrainerOptions,
    readonly state: TrainingState,
  ) {
    this.host = o.plan.variant.host?.([...o.plan.sites.values()], o.plan.settings, o.totalSteps ?? 0);
    this.lossScale = o.weights.precision.compute === 'float16' ? new LossScale() : undefined;
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
      settings,
      settings.seed,
      (tensor) => options.weights.values(tensor),
      options.paging ?? pagingFor(settings, options.runtime.device.kind, options.spillFolder),
      options.inPlace,
    );
    return new Trainer(options, state);
  }

  /**
   * Loss and gradients of one micro-batch, added to what is there if `carry`.
   * @param trainedTokens of the whole accumulated batch: what the loss is averaged over.
   * @param microStep counted over the whole run; picks the dropout masks.
   * @param microBatches of the step: each carries its share of the losses that the adapter adds.
   */
  async accumulate(
    batch: Batch,
    trainedTokens: number,
    carry: boolean,
    microStep: number,
    microBatches = 1,
  ): Promise<MicroStep> {
    return (await this.startMicroStep(batch, trainedTokens, carry, microStep, microBatches))();
  }

  /** The same without waiting for the device. */
  async startMicroStep(
    batch: Batch,
    trainedTokens: number,
    carry: boolean,
    microStep: number,
    microBatches = 1,
  ): Promise<Later<MicroStep>> {
    const { program, compiled } = await this.#gradientProgram(batch);
    const scale = this.lossScale?.scale ?? 1;
    feedBatch(program, batch, scale / trainedTokens);
    program.feed('carry', Uint8Array.of(carry ? 1 : 0));
    program.feedScalar('extra_share', scale / microBatches);
    const { dropoutMasks: masks } = compiled;
    dropoutOffsets(this.o.settings.seed, microStep, masks.length).forEach((offset, i) => {
      program.feed(`dropout_offset.${i}`, BigInt64Array.of(BigInt(offset)));
      program.feed(`dropout_end.${i}`, BigInt64Array.of(BigInt(offset + masks[i]!)));
    });
    await this.#start(program);
    this.state.settle(program);
    const loss = program.fetchScalar('loss');
    const extras = compiled.extraLosses.map((extra) => ({
      ...extra,
      value: program.fetchScalar(extra.name),
    }));
    return async () => {
      let sum = 0;
      for (const { coefficient, value } of extras) sum += (coefficient / microBatches) * (await value());
      return { loss: (await loss()) / scale, extra: sum };
    };
  }

  /**
   * For runs with a loss scale, between the last `accumulate` and `update`: takes the scale out of the gradients. False
   * where they overflowed: then nothing has moved but the scale, and the step must be left out.
   * @param loss of the step; one that is not finite has overflowed already. Asked for when there is no more to start.
   */
  async unscale(loss: number | Later<number>): Promise<boolean> {
    const { lossScale } = this;
    if (!lossScale) return true;
    this.#unscale ??= await Program.open(
      this.o.runtime,
      unscaleGraph(this.state.slabs),
      new Map(this.state.gradientBindings()),
    );
    this.#unscale.feedScalar('inverse_loss_scale', 1 / lossScale.scale);
    await this.#start(this.#unscale);
    this.state.settle(this.#unscale);
    const fetched = this.#unscale.fetchScalar('squares');
    const numbers = [await fetched(), typeof loss === 'number' ? loss : await loss()];
    const finite = numbers.every(Number.isFinite);
    lossScale.stepped(finite);
    return finite;
  }

  /** Applies the accumulated gradients; returns their norm before clipping. @param step counted from 1. */
  async update(step: number, learningRate: number): Promise<number> {
    return (await this.startUpdate(step, learningRate))();
  }

  /**
   * The same without waiting for the device, which leaves out what is not finite. What the method does on the host is done when
   * the norm is asked for.
   */
  async startUpdate(step: number, learningRate: number): Promise<Later<number>> {
    const { runtime, settings, plan, windowLength } = this.o;
    this.#update ??= new Updater({
      runtime,
      state: this.state,
      plan,
      settings,
      seed: settings.seed,
      constants: new Map(this.#transformBindings()),
      ...(windowLength === undefined ? {} : { windowLength }),
    });
    const { norm: fetched, notes } = await this.#update.start(step, learningRate);
    this.#notes.push(...notes);
    return async () => {
      const norm = await fetched();
      if (this.host && Number.isFinite(norm))
        this.#notes.push(...this.host.afterUpdate(this.#access(step, norm)));
      return norm;
    };
  }

  /** What the method's host part has to tell since the last call, in full sentences. */
  takeNotes(): string[] {
    return this.#notes.splice(0);
  }

  #access(step: number, norm: number): StepAccess {
    const { state } = this;
    const limit = this.o.settings.max_grad_norm;
    const factor = limit > 0 ? Math.min(1, limit / (norm + 1e-6)) : 1;
    return {
      step,
      parameters: () => state.readAll(),
      gradients: () =>
        new Map(
          [...state.readAll('gradient')].map(([name, values]) => [name, values.map((g) => g * factor)]),
        ),
      write: (values) => state.write(values),
      resetOptimizer: (names) => state.resetOptimizer(names),
    };
  }

  /** The constants of the method's gradient transform: made once, of tensors that never change. */
  #transformBindings(): [string, DeviceTensor][] {
    const constants = transformConstants(this.o.plan);
    if (constants.length === 0) return [];
    const values = this.state.readAll();
    return constants.map(({ name, shape, site, value }) => {
      const data = value(tensorsOfSite(values, site));
      const tensor = this.o.runtime.fromHost('float32', shape, data);
      this.#constants.push(tensor);
      return [name, tensor];
    });
  }

  /** Σ −log p over a batch's trained tokens, dropout off. */
  evaluate(batch: Batch, packing: boolean): Promise<number> {
    return this.#evaluator.loss(batch, packing);
  }

  /** Ends the program that runs now; the call that started it rejects with `run-cancelled`. */
  cancel(): void {
    this.#running?.cancel();
    this.#update?.cancel();
    this.#evaluator.cancel();
  }

  release(): void {
    this.#gradients.clear();
    this.#evaluator.release();
    this.#update?.release();
    this.#unscale?.release();
    this.#pool?.release();
    for (const tensor of this.#constants) tensor.release();
    this.state.release();
  }

  #gradientProgram(batch: Batch): Promise<{ program: Program; compiled: GradientProgram }> {
    const { runtime, model, plan, weights, settings } = this.o;
    // Rows of one example each need no mask of their own, and CUDA's fused attention knows none.
    const packing =
      settings.packing && (runtime.device.kind !== 'cuda' || batch.segments.some((segment) => segment > 1));
    return this.#gradients.get(`${batch.rows}x${batch.length} ${packing}`, async () => {
      const compiled = gradientGraph({
        model,
        plan,
        slabs: this.state.slabs,
        rows: batch.rows,
        length: batch.length,
        packing,
        accumulate: settings.gradient_accumulation_steps > 1,
        checkpointing: settings.gradient_checkpointing,
        dropoutPool: this.#poolLength,
        ...(this.o.attention ? { attention: this.o.attention } : {}),
        precision: weights.precision,
        packed: weights.packed,
        joining: weights.joining,
      });
      const shared = new Map([
        ...this.state.gradientBindings(),
        ...(await loadBase(compiled.baseInputs, weights)),
      ]);
      if (this.#poolLength > 0) shared.set('dropout_pool', this.#dropoutPool());
      const program = await Program.open(runtime, compiled.graph, shared, { capture: true });
      return { program, compiled };
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

  async #start(program: Program): Promise<void> {
    this.#running = program;
    try {
      await program.start();
    } finally {
      this.#running = undefined;
    }
  }
}
