// A whole run, straight through: read everything and check it, compile, train, evaluate, save, finish. The order below is the
// order in which things happen; each part is a file of its own. Over 400 lines because the steps of a run share its state.
import type { Recipe } from '../../protocol/recipe';
import type { CheckpointReason, TrainResult } from '../../protocol/run';
import type { EngineHost, TrainParams } from '../../protocol/trainer';
import { convertedPlan, convertedValues, type StartFactors } from '../adapters/convert';
import { withLoraPlusRates } from '../adapters/loraPlus';
import { type AdapterPlan, planAdapter } from '../adapters/plan';
import type { AdapterSettings } from '../adapters/settings';
import { catalogue } from '../catalogue';
import { baseTensors } from '../checkpoint/baseTensors';
import { readDeviceUse } from '../cuda/deviceUse';
import { type Batch, planBatches } from '../data';
import { reportOf, SessionError, type UserError } from '../errors';
import { ContextMeter, deviceContext } from '../estimate/deviceContext';
import { useBeforeSettling } from '../execution/autoDevice';
import { baseQuantization } from '../execution/baseQuantization';
import { BaseWeights } from '../execution/baseWeights';
import { chooseDevice, openDevice } from '../execution/device';
import { choosePrecision } from '../execution/precision';
import type { Precision } from '../graph/precision';
import { attentionOf } from '../models/attentions';
import { learningRateAt } from '../optim/schedule';
import { formatRecipe } from '../recipe/format';
import { DeviceWatch } from '../run/deviceWatch';
import { RunRecorder } from '../run/recorder';
import { RunFolder } from '../run/runFolder';
import type { Runtime } from '../session';
import { BatchAhead } from './batchAhead';
import { Calendar, isDue } from './calendar';
import { cancelled, gradientZero, notFinite, overflowing } from './failures';
import { batchOptions, type Inputs, readInputs } from './inputs';
import { smallestScale } from './lossScale';
import { openingRemarks, planFacts, trainableParameters } from './opening';
import { explainOutOfMemory } from './outOfMemory';
import { isAdapter, type Trained, writeResult } from './output';
import { Preparation, preparationFacts } from './preparation';
import { SampleWriter } from './samples';
import { type Progress, readSnapshot, restoreParameters, writeSnapshot } from './snapshot';
import { SpeedMeter } from './speed';
import { type PreparedStart, prepareStart, restoreStart, startFactors } from './start';
import { type Later, type MicroStep, Trainer } from './trainer';

/** Trains by a validated recipe. Raises UserError for whatever a person can mend; the run's folder then holds what was done. */
export async function train({ recipe, notes }: TrainParams, host: EngineHost): Promise<TrainResult> {
  // Before this process opens it.
  const meter = await contextMeter(recipe);
  const inputs = await readInputs(recipe, host);
  // Before the folder: a device that is not there leaves nothing behind.
  const precision = await choosePrecision(recipe.dtype, chooseDevice(recipe.device));
  const runtime = openDevice({ device: recipe.device, threads: recipe.threads });
  try {
    const { folder, from } = await openFolder(recipe);
    try {
      return await new Run(recipe, inputs, folder, runtime, precision, host, meter).go(from, notes);
    } finally {
      folder.release();
    }
  } finally {
    await runtime.close();
  }
}

/** Of what CUDA itself takes of the device; undefined where the run computes elsewhere. */
async function contextMeter({ device }: Recipe): Promise<ContextMeter | undefined> {
  const { kind, index = 0 } = chooseDevice(device);
  if (kind !== 'cuda') return undefined;
  return new ContextMeter(useBeforeSettling() ?? (await readDeviceUse()), index);
}

/** The run's folder: a new one, or with `resume_from_checkpoint` the old one and the checkpoint to go on from. */
async function openFolder(recipe: Recipe): Promise<{ folder: RunFolder; from: string | null }> {
  if (recipe.resume_from_checkpoint === false) {
    return { folder: await RunFolder.create(recipe.output_dir, formatRecipe(recipe, catalogue)), from: null };
  }
  const { folder, checkpoint } = RunFolder.resume(recipe.output_dir, recipe.resume_from_checkpoint);
  return { folder, from: checkpoint.path };
}

/** The optimizer's loop over one set of inputs. */
class Run {
  readonly #training: Calendar;
  /** What the method finds out first; undefined for most. */
  readonly #preparation: Preparation | undefined;
  /** Whether it still does. */
  #preparing = false;
  readonly #speed = new SpeedMeter();
  readonly #ahead = new BatchAhead();
  readonly #progress: Progress = {
    step: 0,
    epoch: 0,
    batch: 0,
    microStep: 0,
    bestLoss: null,
    bestStep: null,
    evaluationsWithoutGain: 0,
  };
  #recentLosses: number[] = [];
  #evalLoss: number | null = null;
  #trainer!: Trainer;
  #weights!: BaseWeights;
  #samples: SampleWriter | undefined;
  #recorder!: RunRecorder;
  /** What the base lost at the start, where the initialisation takes it from there. */
  #start: StartFactors | undefined;

  constructor(
    private readonly recipe: Recipe,
    private inputs: Inputs,
    private readonly folder: RunFolder,
    private readonly runtime: Runtime,
    private readonly precision: Precision,
    private readonly host: EngineHost,
    private readonly meter: ContextMeter | undefined,
  ) {
    const options = batchOptions(recipe, inputs, 'train');
    this.#training = new Calendar(inputs.data.train, options, recipe);
    this.#preparation = Preparation.of(recipe, inputs.plan, inputs.data.train, options);
  }

  async go(from: string | null, notes: readonly string[]): Promise<TrainResult> {
    const { recipe, inputs } = this;
    const weights = BaseWeights.of(
      this.runtime,
      inputs.checkpoint,
      inputs.model,
      this.precision,
      baseQuantization(recipe, inputs.model, inputs.plan),
    );
    this.#weights = weights;
    let warnings: string[] = [];
    let startNotes: readonly string[] = [];
    try {
      const start = await this.#prepareStart(from);
      startNotes = start.notes;
      const { sideFiles } = inputs.plan;
      const chosen = from ? await this.#preparation?.restored(from, this.#planFor) : undefined;
      const plan = chosen ?? { ...start.plan, ...(sideFiles ? { sideFiles } : {}) };
      this.inputs = { ...inputs, plan };
      this.#preparing = this.#preparation !== undefined && chosen === undefined;
      this.#trainer = await this.#openTrainer();
      this.#trainer.state.write(start.values);
      this.#trainer.state.write(inputs.continued);
      this.#start = startFactors(start, this.#trainer.state.readAll());
      if (from) warnings = await this.#restore(from);
      this.#recorder = this.#openRecorder(from);
    } catch (error) {
      // A run that could not be resumed stays as it was; a new one that never began goes.
      if (!from) this.folder.discard();
      throw await this.#explained(error);
    }
    const watch = setInterval(() => {
      if (this.host.cancelRequested) this.#trainer.cancel();
    }, 50);
    let device: DeviceWatch | undefined;
    try {
      const resumedFromStep = from ? this.#progress.step : null;
      const steps = { totalSteps: this.#totalSteps, stepsPerEpoch: this.#training.stepsPerEpoch };
      const context = this.meter ? deviceContext(this.meter.name) : null;
      const facts = planFacts(recipe, this.inputs, this.precision, steps, context);
      const run = this.folder.path;
      this.#recorder.emit({ type: 'run-started', run, pid: process.pid, plan: facts, resumedFromStep });
      for (const event of openingRemarks(recipe, this.inputs, [...notes, ...startNotes], warnings))
        this.#recorder.emit(event);
      device = this.#watchDevice();
      return await this.#loop();
    } catch (error) {
      if (error instanceof SessionError && error.code === 'run-cancelled') return this.#cancelled();
      const told = await this.#explained(error);
      this.#recordFailure(told);
      throw told;
    } finally {
      clearInterval(watch);
      device?.stop();
      this.#recorder.close();
      this.#samples?.release();
      this.#trainer.release();
      weights.release();
    }
  }

  /** A trainer for the plan as it is now. */
  #openTrainer(): Promise<Trainer> {
    const { recipe, inputs } = this;
    return Trainer.create({
      spillFolder: this.folder.path,
      runtime: this.runtime,
      model: inputs.model,
      weights: this.#weights,
      plan: inputs.plan,
      settings: recipe,
      attention: attentionOf(recipe, inputs.model),
      totalSteps: this.#calendar.totalSteps,
      largestBatchTokens:
        recipe.per_device_train_batch_size * Math.min(recipe.max_length, inputs.model.maxPositions),
    });
  }

  /** Plans again, where ranks moved or modules were chosen. */
  readonly #planFor = (settings: AdapterSettings): AdapterPlan => {
    const { model, plan } = this.inputs;
    return withLoraPlusRates(planAdapter(model, settings, plan.earlier), this.recipe);
  };

  /** Of the phase that the run is in. */
  get #calendar(): Calendar {
    return this.#preparing ? this.#preparation!.calendar : this.#training;
  }

  /** Steps of the phases before this one. */
  get #stepsBefore(): number {
    return this.#preparing ? 0 : (this.#preparation?.steps ?? 0);
  }

  /** Of all phases. */
  get #totalSteps(): number {
    return this.#training.totalSteps + (this.#preparation?.steps ?? 0);
  }

  /** Goes over to training with what the first phase found out. */
  async #conclude(preparation: Preparation): Promise<void> {
    const trainer = this.#trainer;
    const { plan, values, message, modules } = await preparation.conclude({
      runtime: this.runtime,
      model: this.inputs.model,
      weights: this.#weights,
      parameters: trainer.parameters,
      packing: this.recipe.packing,
      values: trainer.state.readAll(),
      planFor: this.#planFor,
      cancelled: () => this.host.cancelRequested,
    });
    this.inputs = { ...this.inputs, plan };
    this.#preparing = false;
    Object.assign(this.#progress, { epoch: 0, batch: 0 });
    this.#recentLosses = [];
    trainer.release();
    this.#trainer = await this.#openTrainer();
    this.#trainer.state.write(values);
    const { step } = this.#progress;
    this.#recorder.emit({ type: 'note', message, modules, step });
    const count = trainableParameters(plan).toLocaleString('en-US');
    this.#recorder.emit({ type: 'note', message: `From here on ${count} parameters train.`, step });
  }

  /** Start values from the base weights, where the initialisation asks for them; the base changes in memory alone. */
  #prepareStart(from: string | null): Promise<PreparedStart> {
    const { recipe, inputs } = this;
    const options = {
      runtime: this.runtime,
      model: inputs.model,
      weights: this.#weights,
      plan: inputs.plan,
      planFor: this.#planFor,
      seed: recipe.seed,
      packing: recipe.packing,
      batches: () => this.#calendar.plan(0).from(0),
      onProgress: (message: string) => {
        if (this.host.cancelRequested) throw cancelled(null, null);
        this.host.emit({
          type: 'progress',
          phase: 'reading',
          message,
          fraction: null,
          time: new Date().toISOString(),
        });
      },
    };
    return from ? restoreStart(options, from) : prepareStart(options);
  }

  #openRecorder(from: string | null): RunRecorder {
    const { recipe } = this;
    return new RunRecorder(
      this.folder,
      {
        maxSteps: this.#totalSteps,
        numTrainEpochs: recipe.num_train_epochs,
        tensorboard: recipe.report_to === 'tensorboard',
        resumedFromStep: from ? this.#progress.step : null,
        loggingSteps: recipe.logging_steps,
      },
      (event) => this.host.emit(event),
    );
  }

  /** Tells of the device's memory and use; undefined where the run computes on none that tells. */
  #watchDevice(): DeviceWatch | undefined {
    const { kind, index = 0 } = chooseDevice(this.recipe.device);
    if (kind !== 'cuda') return undefined;
    return new DeviceWatch({
      index,
      tell: (sample) => this.#recorder.emit({ type: 'device', step: this.#progress.step, ...sample }),
      seen: (use) => {
        // Kernels are loaded when they first run. What cannot be remembered is measured by the next run.
        if (this.#progress.step > 0)
          this.meter?.seen(use, this.runtime.memory().reservedBytes).catch(() => undefined);
      },
    });
  }

  async #loop(): Promise<TrainResult> {
    const { recipe, host } = this;
    const progress = this.#progress;
    while (progress.step < this.#totalSteps) {
      const preparation = this.#preparing ? this.#preparation : undefined;
      // Here and not after its last step, so that a checkpoint of that step can be resumed.
      if (preparation && progress.step >= preparation.steps) await this.#conclude(preparation);
      const epochEnded = await this.#step();
      const last = progress.step === this.#totalSteps;
      const ownStep = progress.step - this.#stepsBefore;
      if (
        this.#hasEval &&
        !this.#preparing &&
        (isDue(recipe.eval_strategy, recipe.eval_steps, ownStep, epochEnded) || last)
      ) {
        const best = await this.#evaluate();
        await this.#writeSamples();
        if (best && recipe.load_best_model_at_end) await this.#save('best');
        if (this.#shouldStopEarly()) return this.#finish('early-stopping');
      }
      if (host.cancelRequested && !last) return this.#cancelled();
      if (host.stopRequested && !last) return this.#stop();
      if (host.takeCheckpointRequest()) await this.#save('asked');
      else if (isDue(recipe.save_strategy, recipe.save_steps, progress.step, epochEnded) && !last) {
        await this.#save(recipe.save_strategy === 'epoch' ? 'epoch' : 'steps');
      }
    }
    return this.#finish('complete');
  }

  /** One optimizer step; tells whether it ended an epoch. */
  async #step(): Promise<boolean> {
    const progress = this.#progress;
    const plan = this.#calendar.plan(progress.epoch);
    const end = Math.min(plan.count, progress.batch + this.recipe.gradient_accumulation_steps);
    const batches = this.#ahead.take(plan, progress.batch, end);
    const trainedTokens = batches.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    const started = performance.now();
    const waits = this.runtime.hostWaits;
    const parts: Later<MicroStep>[] = [];
    for (const [i, batch] of batches.entries()) {
      const [part] = await Promise.all([
        this.#trainer.startMicroStep(batch, trainedTokens, i > 0, progress.microStep + i, batches.length),
        ...(i === 0 ? [this.#ahead.prepare(plan, end, this.recipe.gradient_accumulation_steps)] : []),
      ]);
      parts.push(part!);
    }
    const lossOf = async (): Promise<number> => {
      let sum = 0;
      for (const part of parts) sum += (await part()).loss;
      return sum;
    };
    const step = progress.step + 1;
    const { lossScale } = this.#trainer;
    // Neither the optimizer nor the schedule counts skipped steps, as in torch.
    const update = step - this.#stepsBefore - (lossScale?.skipped ?? 0);
    // The schedule is that of the training.
    const scheduled = this.#preparing
      ? this.recipe.learning_rate
      : learningRateAt(this.recipe, update, this.#calendar.totalSteps);
    const learningRate = scheduled * (this.#trainer.host?.learningRateFactor?.(update) ?? 1);
    // Whether a float16 step counts at all is known only from its numbers.
    const moves = !lossScale || (await this.#trainer.unscale(lossOf));
    const norm = moves ? await this.#trainer.startUpdate(update, learningRate) : null;
    // The step's one wait: what is asked for afterwards was begun before it.
    const loss = await lossOf();
    if (!Number.isFinite(loss) && !lossScale)
      throw await this.#notFinite(`The loss is ${loss}`, step, batches);
    const gradNorm = norm ? await norm() : null;
    if (gradNorm !== null && !Number.isFinite(gradNorm))
      throw await this.#notFinite(`The loss is ${loss}, but its gradient is not finite`, step, batches);
    if (gradNorm === 0) throw gradientZero(step);

    const seconds = (performance.now() - started) / 1000;
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens, 0);
    this.#speed.add(tokens, seconds);
    const epochEnded = end === plan.count;
    progress.step = step;
    progress.microStep += batches.length;
    progress.batch = epochEnded ? 0 : end;
    if (epochEnded) progress.epoch++;
    if (lossScale && !moves) {
      if (lossScale.scale < smallestScale)
        throw overflowing(step, this.folder.newestCheckpoint()?.path ?? null);
      this.#recorder.emit({ type: 'step-skipped', step, lossScale: lossScale.scale });
      return epochEnded && !this.#preparing;
    }
    this.#recentLosses = [...this.#recentLosses, loss].slice(-10);
    this.#recorder.emit({
      type: 'step',
      step,
      epoch: this.#preparing ? 0 : progress.epoch + progress.batch / plan.count,
      loss,
      learningRate,
      gradNorm,
      tokens,
      tokensPerSecond: this.#speed.tokensPerSecond,
      peakMemoryBytes: peakMemory(),
      etaSeconds: this.#speed.secondsFor(this.#totalSteps - step),
      hostWaits: this.runtime.hostWaits - waits,
    });
    for (const message of this.#trainer.takeNotes()) this.#recorder.emit({ type: 'note', message, step });
    // Epochs are those of the training.
    return epochEnded && !this.#preparing;
  }

  get #hasEval(): boolean {
    return this.inputs.data.eval.length > 0;
  }

  /** Mean loss over the evaluation set; tells whether it is the lowest so far. */
  async #evaluate(): Promise<boolean> {
    const { recipe, inputs } = this;
    const progress = this.#progress;
    const plan = planBatches(inputs.data.eval, batchOptions(recipe, inputs, 'eval'), 0);
    let sum = 0;
    let tokens = 0;
    for (const batch of plan.from(0)) {
      sum += await this.#trainer.evaluate(batch, recipe.packing);
      // While the device works, nothing is there to be cut off.
      if (this.host.cancelRequested) this.#cancelled();
      if (!Number.isFinite(sum))
        throw await this.#notFinite('The evaluation loss is no number', progress.step, [batch]);
      tokens += batch.trainedTokens;
    }
    const loss = sum / tokens;
    this.#evalLoss = loss;
    const threshold = progress.bestLoss === null ? 0 : recipe.early_stopping_threshold;
    const best = progress.bestLoss === null || loss < progress.bestLoss;
    const gained = progress.bestLoss === null || loss < progress.bestLoss - threshold;
    progress.evaluationsWithoutGain = gained ? 0 : progress.evaluationsWithoutGain + 1;
    if (best) {
      progress.bestLoss = loss;
      progress.bestStep = progress.step;
    }
    this.#recorder.emit({
      type: 'eval',
      step: progress.step,
      epoch: this.#epoch(),
      loss,
      perplexity: Math.exp(loss),
      tokens,
      best,
    });
    return best;
  }

  async #writeSamples(): Promise<void> {
    const { recipe, inputs } = this;
    if (recipe.sample_prompts.length === 0) return;
    this.#samples ??= new SampleWriter(
      {
        runtime: this.runtime,
        model: inputs.model,
        weights: this.#weights,
        live: this.#trainer.parameters,
      },
      inputs.tokenizer,
      recipe.sample_prompts,
      recipe.seed,
    );
    for (const sample of await this.#samples.write(() => this.host.cancelRequested))
      this.#recorder.emit({ type: 'sample', step: this.#progress.step, ...sample });
  }

  #shouldStopEarly(): boolean {
    const patience = this.recipe.early_stopping_patience;
    return (
      patience !== null &&
      this.#progress.evaluationsWithoutGain >= patience &&
      this.#progress.step < this.#totalSteps
    );
  }

  async #save(reason: CheckpointReason): Promise<string> {
    const { step, bestStep } = this.#progress;
    const path = this.folder.checkpointPath(step);
    const run = {
      seed: this.recipe.seed,
      data: this.inputs.dataDigest,
      baseFolder: this.inputs.checkpoint.folder,
    };
    const { state, host } = this.#trainer;
    const { lossScale } = this.#trainer;
    const progress = { ...this.#progress, ...(lossScale ? { lossScale: lossScale.state } : {}) };
    await writeSnapshot(path, state, this.inputs.plan, progress, run, host, this.#start);
    await this.#recorder.saveState();
    await this.folder.prune(
      this.recipe.save_total_limit,
      this.recipe.load_best_model_at_end ? bestStep : null,
    );
    const kept = this.folder.checkpoints().map((checkpoint) => checkpoint.step);
    this.#recorder.emit({ type: 'checkpoint', step, path, reason, kept });
    return path;
  }

  async #restore(from: string): Promise<string[]> {
    const run = { seed: this.recipe.seed, data: this.inputs.dataDigest };
    const { state, host } = this.#trainer;
    const { progress, warnings } = await readSnapshot(from, state, this.inputs.plan, run, host, this.#start);
    const { lossScale, ...rest } = progress;
    if (lossScale) this.#trainer.lossScale?.restore(lossScale);
    Object.assign(this.#progress, rest);
    return warnings;
  }

  async #stop(): Promise<TrainResult> {
    const path = await this.#save('stop');
    const result = this.#result(path);
    this.#recorder.emit({ type: 'stopped', step: this.#progress.step, checkpoint: path, result });
    return result;
  }

  /** Ends without saving: what is lost are the steps since the last checkpoint. */
  #cancelled(): never {
    const checkpoint = this.folder.newestCheckpoint()?.path ?? null;
    this.#recorder.emit({ type: 'stopped', step: this.#progress.step, checkpoint, result: null });
    throw cancelled(this.#progress.step, checkpoint);
  }

  async #finish(reason: 'complete' | 'early-stopping'): Promise<TrainResult> {
    const { recipe, inputs, folder } = this;
    const { step, bestStep } = this.#progress;
    await this.#save('end');
    const state = this.#trainer.state;
    if (recipe.load_best_model_at_end && bestStep !== null && bestStep !== step) {
      await restoreParameters(
        folder.checkpointPath(bestStep),
        state,
        inputs.plan,
        this.#trainer.host,
        this.#start,
      );
      this.#evalLoss = this.#progress.bestLoss;
    }
    const path = isAdapter(inputs.plan) ? folder.adapterPath : `${folder.path}/model`;
    await writeResult(
      path,
      {
        ...this.#saved(),
        baseFolder: inputs.checkpoint.folder,
        ...(this.#trainer.host ? { host: this.#trainer.host.state().values } : {}),
      },
      [
        ['Steps', step],
        ...preparationFacts(inputs.plan),
        ['Learning rate', recipe.learning_rate],
        ['Trained tokens per epoch', inputs.data.report.trainedTokens],
        ...(this.#evalLoss === null ? [] : [['Evaluation loss', Number(this.#evalLoss.toFixed(4))] as const]),
      ],
    );
    const result = this.#result(path);
    this.#recorder.emit({ type: 'finished', step, reason, result });
    await this.#recorder.saveState();
    return result;
  }

  /** What is saved: converted to a LoRA of the original base, unless PEFT can and shall repeat the start. */
  #saved(): Pick<Trained, 'plan' | 'values'> {
    const { plan } = this.inputs;
    const values = this.#trainer.state.readAll();
    if (!this.#start || plan.settings.settings.convert_to_lora === false) return { plan, values };
    return { plan: convertedPlan(plan), values: convertedValues(plan, values, this.#start) };
  }

  #result(adapter: string): TrainResult {
    const losses = this.#recentLosses;
    return {
      run: this.folder.path,
      adapter,
      steps: this.#progress.step,
      loss: losses.reduce((sum, loss) => sum + loss, 0) / Math.max(1, losses.length),
      evalLoss: this.#evalLoss,
      trainableParameters: trainableParameters(this.inputs.plan),
      tokensPerSecond: this.#speed.averageTokensPerSecond,
      peakMemoryBytes: peakMemory(),
    };
  }

  #epoch(): number {
    return this.#progress.epoch + this.#progress.batch / this.#calendar.plan(this.#progress.epoch).count;
  }

  #notFinite(what: string, step: number, batches: readonly Batch[]): Promise<UserError> {
    return notFinite(what, step, batches, {
      checkpoint: this.inputs.checkpoint,
      newest: this.folder.newestCheckpoint()?.path ?? null,
      learningRate: this.recipe.learning_rate,
    });
  }

  /** A failure with what only this moment tells. */
  #explained(error: unknown): Promise<unknown> {
    const { runtime, recipe, precision } = this;
    const { model, plan, checkpoint } = this.inputs;
    const { packed } = baseTensors(checkpoint, model);
    return explainOutOfMemory(error, { runtime, recipe, model, plan, precision, packed });
  }

  #recordFailure(error: unknown): void {
    try {
      this.#recorder.emit({ type: 'failed', step: this.#progress.step, error: reportOf(error) });
    } catch {
      // The disk may be what failed; the error itself reaches the caller.
    }
  }
}

/** Peak resident memory of this process, in bytes: mapped weights that were touched count. */
function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1024;
}
