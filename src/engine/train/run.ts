// A whole run, straight through: read everything and check it, compile, train, evaluate, save, finish. The order below is the
// order in which things happen; each part is a file of its own.
import { createHash } from 'node:crypto';
import type { Recipe } from '../../protocol/recipe';
import type { CheckpointReason, PlanFacts, TrainResult } from '../../protocol/run';
import type { EngineHost, TrainParams } from '../../protocol/trainer';
import { convertedPlan, convertedValues, type StartFactors } from '../adapters/convert';
import { withLoraPlusRates } from '../adapters/loraPlus';
import { type AdapterPlan, planAdapter } from '../adapters/plan';
import type { AdapterSettings } from '../adapters/settings';
import { catalogue } from '../catalogue';
import { requireFinite } from '../checkpoint/finite';
import { type Checkpoint, openCheckpoint } from '../checkpoint/folder';
import {
  type Batch,
  type Example,
  loadTokenizer,
  type PreparedData,
  planBatches,
  prepareData,
  type Tokenizer,
} from '../data';
import { elements } from '../dtype';
import { RunError, SessionError, UserError } from '../errors';
import { forecast } from '../estimate/forecast';
import { BaseWeights, tensorsOf } from '../execution/baseWeights';
import { openDevice } from '../execution/device';
import { Generator } from '../generate/generator';
import { type Model, modelTensors } from '../models/architecture';
import { modelFromConfig } from '../models/registry';
import { learningRateAt } from '../optim/schedule';
import { formatRecipe } from '../recipe/format';
import { RunRecorder } from '../run/recorder';
import { RunFolder } from '../run/runFolder';
import type { Runtime } from '../session';
import { Calendar, isDue } from './calendar';
import { isAdapter, type Trained, writeResult } from './output';
import { type Progress, readSnapshot, restoreParameters, writeSnapshot } from './snapshot';
import { SpeedMeter } from './speed';
import { type PreparedStart, prepareStart, restoreStart, startFactors } from './start';
import { Trainer } from './trainer';

/** Trains by a validated recipe. Raises UserError for whatever a person can mend; the run's folder then holds what was done. */
export async function train({ recipe, notes }: TrainParams, host: EngineHost): Promise<TrainResult> {
  const inputs = await readInputs(recipe, host);
  // Before the folder: a device that is not there leaves nothing behind.
  const runtime = openDevice({ device: recipe.device, threads: recipe.threads });
  try {
    const { folder, from } = await openFolder(recipe);
    try {
      return await new Run(recipe, inputs, folder, runtime, host).go(from, notes);
    } finally {
      folder.release();
    }
  } finally {
    await runtime.close();
  }
}

/** Everything a run reads, checked before anything is written. */
interface Inputs {
  checkpoint: Checkpoint;
  model: Model;
  plan: AdapterPlan;
  tokenizer: Tokenizer;
  data: PreparedData;
  /** Digest of the training examples in order. */
  dataDigest: string;
}

async function readInputs(recipe: Recipe, host: EngineHost): Promise<Inputs> {
  const report = (phase: 'reading' | 'tokenizing', message: string): void =>
    host.emit({ type: 'progress', phase, message, fraction: null, time: new Date().toISOString() });
  report('reading', 'Reading the checkpoint');
  const checkpoint = await openCheckpoint(recipe.model);
  const model = modelFromConfig(checkpoint.config);
  tensorsOf(checkpoint, model);
  const plan = withLoraPlusRates(planAdapter(model, recipe), recipe);
  const tokenizer = await loadTokenizer(checkpoint.folder);
  report('tokenizing', 'Reading and tokenizing the data');
  const data = await prepareData({
    tokenizer,
    dataset: recipe.dataset.map(({ path, columns }) => ({ path, columns })),
    ...(recipe.eval_dataset.length > 0
      ? { eval_dataset: recipe.eval_dataset.map(({ path, columns }) => ({ path, columns })) }
      : { val_size: recipe.val_size }),
    seed: recipe.data_seed,
    max_length: Math.min(recipe.max_length, model.maxPositions),
    truncation: recipe.truncation,
    train_on: recipe.train_on,
    model_vocab_size: model.vocabularySize,
    text_split: recipe.text_split,
    ...(recipe.chat_template ? { chat_template: recipe.chat_template } : {}),
  });
  return { checkpoint, model, plan, tokenizer, data, dataDigest: digest(data.train) };
}

function digest(examples: readonly Example[]): string {
  const hash = createHash('sha256');
  for (const { ids, trained } of examples) hash.update(ids).update(trained);
  return hash.digest('hex');
}

/** The run's folder: a new one, or with `resume_from_checkpoint` the old one and the checkpoint to go on from. */
async function openFolder(recipe: Recipe): Promise<{ folder: RunFolder; from: string | null }> {
  if (recipe.resume_from_checkpoint === false) {
    return { folder: await RunFolder.create(recipe.output_dir, formatRecipe(recipe, catalogue)), from: null };
  }
  const { folder, checkpoint } = RunFolder.resume(recipe.output_dir, recipe.resume_from_checkpoint);
  return { folder, from: checkpoint.path };
}

/** New tokens of a sample. */
const sampleTokens = 64;

/** The optimizer's loop over one set of inputs. */
class Run {
  readonly #calendar: Calendar;
  readonly #speed = new SpeedMeter();
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
  #generator: Generator | undefined;
  #recorder!: RunRecorder;
  /** What the base lost at the start, where the initialisation takes it from there. */
  #start: StartFactors | undefined;

  constructor(
    private readonly recipe: Recipe,
    private inputs: Inputs,
    private readonly folder: RunFolder,
    private readonly runtime: Runtime,
    private readonly host: EngineHost,
  ) {
    this.#calendar = new Calendar(
      inputs.data.train,
      {
        per_device_train_batch_size: recipe.per_device_train_batch_size,
        max_length: Math.min(recipe.max_length, inputs.model.maxPositions),
        packing: recipe.packing,
        pad_to_multiple_of: inputs.model.lengthDependent ? 1 : 32,
        shuffle: recipe.shuffle,
        seed: recipe.data_seed,
        pad_token_id: inputs.tokenizer.padId,
      },
      recipe,
    );
  }

  async go(from: string | null, notes: readonly string[]): Promise<TrainResult> {
    const { recipe, inputs } = this;
    const weights = BaseWeights.of(this.runtime, inputs.checkpoint, inputs.model);
    this.#weights = weights;
    let warnings: string[] = [];
    let startNotes: readonly string[] = [];
    try {
      const start = await this.#prepareStart(from);
      startNotes = start.notes;
      this.inputs = { ...inputs, plan: start.plan };
      this.#trainer = await Trainer.create({
        runtime: this.runtime,
        model: inputs.model,
        weights,
        plan: start.plan,
        settings: recipe,
        totalSteps: this.#calendar.totalSteps,
        largestBatchTokens:
          recipe.per_device_train_batch_size * Math.min(recipe.max_length, inputs.model.maxPositions),
      });
      this.#trainer.state.write(start.values);
      this.#start = startFactors(start, this.#trainer.state.readAll());
      if (from) warnings = await this.#restore(from);
      this.#recorder = this.#openRecorder(from);
    } catch (error) {
      // A run that could not be resumed stays as it was; a new one that never began goes.
      if (!from) this.folder.discard();
      throw error;
    }
    const watch = setInterval(() => {
      if (this.host.cancelRequested) this.#trainer.cancel();
    }, 50);
    try {
      this.#announce(from, [...notes, ...inputs.data.report.notes, ...startNotes], warnings);
      return await this.#loop();
    } catch (error) {
      if (error instanceof SessionError && error.code === 'run-cancelled') return this.#cancelled();
      this.#recordFailure(error);
      throw error;
    } finally {
      clearInterval(watch);
      this.#recorder.close();
      this.#generator?.release();
      this.#trainer.release();
      weights.release();
    }
  }

  /** Start values from the base weights, where the initialisation asks for them; the base changes in memory alone. */
  #prepareStart(from: string | null): Promise<PreparedStart> {
    const { recipe, inputs } = this;
    const options = {
      runtime: this.runtime,
      model: inputs.model,
      weights: this.#weights,
      plan: inputs.plan,
      planFor: (settings: AdapterSettings) => withLoraPlusRates(planAdapter(inputs.model, settings), recipe),
      seed: recipe.seed,
      packing: recipe.packing,
      batches: () => this.#calendar.plan(0).from(0),
      onProgress: (message: string) => {
        if (this.host.cancelRequested) throw cancelledBefore();
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
        maxSteps: this.#calendar.totalSteps,
        numTrainEpochs: recipe.num_train_epochs,
        tensorboard: recipe.report_to === 'tensorboard',
        resumedFromStep: from ? this.#progress.step : null,
        loggingSteps: recipe.logging_steps,
      },
      (event) => this.host.emit(event),
    );
  }

  async #loop(): Promise<TrainResult> {
    const { recipe, host } = this;
    const progress = this.#progress;
    while (progress.step < this.#calendar.totalSteps) {
      const epochEnded = await this.#step();
      const last = progress.step === this.#calendar.totalSteps;
      if (
        this.#hasEval &&
        (isDue(recipe.eval_strategy, recipe.eval_steps, progress.step, epochEnded) || last)
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
    const batches = Array.from({ length: end - progress.batch }, (_, i) => plan.batch(progress.batch + i));
    const trainedTokens = batches.reduce((sum, batch) => sum + batch.trainedTokens, 0);
    const started = performance.now();
    let loss = 0;
    for (const [i, batch] of batches.entries()) {
      const part = await this.#trainer.accumulate(
        batch,
        trainedTokens,
        i > 0,
        progress.microStep + i,
        batches.length,
      );
      loss += part.loss;
    }
    const step = progress.step + 1;
    const learningRate =
      learningRateAt(this.recipe, step, this.#calendar.totalSteps) *
      (this.#trainer.host?.learningRateFactor?.(step) ?? 1);
    if (!Number.isFinite(loss)) throw await this.#notFinite(`The loss is ${loss}`, step, batches);
    const gradNorm = await this.#trainer.update(step, learningRate);
    if (!Number.isFinite(gradNorm))
      throw await this.#notFinite(`The loss is ${loss}, but its gradient is not finite`, step, batches);
    if (gradNorm === 0) throw this.#dead(step);

    const seconds = (performance.now() - started) / 1000;
    const tokens = batches.reduce((sum, batch) => sum + batch.tokens, 0);
    this.#speed.add(tokens, seconds);
    const epochEnded = end === plan.count;
    progress.step = step;
    progress.microStep += batches.length;
    progress.batch = epochEnded ? 0 : end;
    if (epochEnded) progress.epoch++;
    this.#recentLosses = [...this.#recentLosses, loss].slice(-10);
    this.#recorder.emit({
      type: 'step',
      step,
      epoch: progress.epoch + progress.batch / plan.count,
      loss,
      learningRate,
      gradNorm,
      tokens,
      tokensPerSecond: this.#speed.tokensPerSecond,
      peakMemoryBytes: peakMemory(),
      etaSeconds: this.#speed.secondsFor(this.#calendar.totalSteps - step),
    });
    for (const message of this.#trainer.takeNotes()) this.#recorder.emit({ type: 'note', message });
    return epochEnded;
  }

  get #hasEval(): boolean {
    return this.inputs.data.eval.length > 0;
  }

  /** Mean loss over the evaluation set; tells whether it is the lowest so far. */
  async #evaluate(): Promise<boolean> {
    const { recipe, inputs } = this;
    const progress = this.#progress;
    const plan = planBatches(
      inputs.data.eval,
      {
        per_device_train_batch_size: recipe.per_device_eval_batch_size,
        max_length: Math.min(recipe.max_length, inputs.model.maxPositions),
        packing: recipe.packing,
        pad_to_multiple_of: inputs.model.lengthDependent ? 1 : 32,
        shuffle: false,
        seed: recipe.data_seed,
        pad_token_id: inputs.tokenizer.padId,
      },
      0,
    );
    let sum = 0;
    let tokens = 0;
    for (const batch of plan.from(0)) {
      sum += await this.#trainer.evaluate(batch, recipe.packing);
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

  /** Continues the recipe's prompts with the model as it is now, greedily: how the writing changes. */
  async #writeSamples(): Promise<void> {
    const { sample_prompts: prompts, seed } = this.recipe;
    if (prompts.length === 0) return;
    const { model, tokenizer } = this.inputs;
    this.#generator ??= new Generator({
      runtime: this.runtime,
      model,
      weights: this.#weights,
      live: this.#trainer.parameters,
    });
    const ids = prompts.map((prompt) => tokenizer.encode(prompt));
    const continuations = await this.#generator.generate(ids, {
      maxNewTokens: sampleTokens,
      temperature: 0,
      topP: 1,
      topK: 0,
      seed,
      eosIds: tokenizer.eosIds,
      cancelled: () => this.host.cancelRequested,
    });
    continuations.forEach((continuation, i) => {
      const stream = tokenizer.stream();
      const text = continuation.ids.map((id) => stream.push(id)).join('') + stream.end();
      this.#recorder.emit({ type: 'sample', step: this.#progress.step, prompt: prompts[i]!, text });
    });
  }

  #shouldStopEarly(): boolean {
    const patience = this.recipe.early_stopping_patience;
    return (
      patience !== null &&
      this.#progress.evaluationsWithoutGain >= patience &&
      this.#progress.step < this.#calendar.totalSteps
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
    await writeSnapshot(path, state, this.inputs.plan, this.#progress, run, host, this.#start);
    await this.#recorder.saveState();
    await this.folder.prune(
      this.recipe.save_total_limit,
      this.recipe.load_best_model_at_end ? bestStep : null,
    );
    this.#recorder.emit({ type: 'checkpoint', step, path, reason });
    return path;
  }

  async #restore(from: string): Promise<string[]> {
    const run = { seed: this.recipe.seed, data: this.inputs.dataDigest };
    const { state, host } = this.#trainer;
    const { progress, warnings } = await readSnapshot(from, state, this.inputs.plan, run, host, this.#start);
    Object.assign(this.#progress, progress);
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
    throw new RunError({
      code: 'run-cancelled',
      message: `The run was cancelled after step ${this.#progress.step}.`,
      remedy: checkpoint ? 'Go on from its last checkpoint with --resume.' : 'Start it again.',
      facts: { step: this.#progress.step, checkpoint },
    });
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

  #announce(from: string | null, notes: readonly string[], warnings: readonly string[]): void {
    const { recipe, inputs } = this;
    const { plan, model, data } = inputs;
    const facts: PlanFacts = {
      modelType: model.modelType,
      device: this.runtime.device.kind,
      dtype: 'float32',
      adapter: recipe.adapter,
      trainableParameters: trainableParameters(plan),
      totalParameters: modelTensors(model).reduce((sum, tensor) => sum + elements(tensor.shape), 0),
      adaptedModules: plan.sites.size,
      trainExamples: data.train.length,
      evalExamples: data.eval.length,
      trainedTokensPerEpoch: data.report.trainedTokens,
      totalSteps: this.#calendar.totalSteps,
      stepsPerEpoch: this.#calendar.stepsPerEpoch,
      effectiveBatchSize: recipe.per_device_train_batch_size * recipe.gradient_accumulation_steps,
      predictedPeakBytes: forecast(model, recipe, plan).totalBytes,
    };
    const resumedFromStep = from ? this.#progress.step : null;
    this.#recorder.emit({
      type: 'run-started',
      run: this.folder.path,
      pid: process.pid,
      plan: facts,
      resumedFromStep,
    });
    for (const message of notes) this.#recorder.emit({ type: 'note', message });
    for (const message of warnings) this.#recorder.emit({ type: 'warning', message });
    for (const { setting, entry, nearest } of plan.unmatched) {
      this.#recorder.emit({
        type: 'warning',
        message: `${setting}: ${entry} matches no module of this model.`,
        ...(nearest.length > 0 ? { remedy: `Write ${nearest.join(' or ')}.` } : {}),
      });
    }
    if (recipe.max_length > model.maxPositions) {
      this.#recorder.emit({
        type: 'note',
        message: `max_length ${recipe.max_length} is more than the model's ${model.maxPositions} positions; ${model.maxPositions} is used.`,
      });
    }
  }

  #epoch(): number {
    return this.#progress.epoch + this.#progress.batch / this.#calendar.plan(this.#progress.epoch).count;
  }

  async #notFinite(what: string, step: number, batches: readonly Batch[]): Promise<UserError> {
    // The checkpoint itself may be the cause, at any step: a token's row is read when the token first comes.
    await requireFinite(this.inputs.checkpoint.tensors.values());
    const rows = batches.flatMap((batch) => batch.sourceRows.map(({ file, row }) => `${file}:${row}`));
    const last = this.folder.newestCheckpoint();
    return new RunError({
      code: 'loss-not-finite',
      message: `${what} at step ${step}. Rows of the batch: ${rows.slice(0, 16).join(', ')}${rows.length > 16 ? ', …' : ''}. ${
        last ? `The last good checkpoint is ${last.path}.` : 'There is no checkpoint yet.'
      }`,
      remedy: last
        ? `Resume with --resume and a lower learning_rate than ${this.recipe.learning_rate}.`
        : `Start again with a lower learning_rate than ${this.recipe.learning_rate}.`,
      facts: { step, checkpoint: last?.path ?? null },
    });
  }

  #dead(step: number): RunError {
    return new RunError({
      code: 'gradient-zero',
      message: `The gradient of every trained tensor is exactly zero at step ${step}: nothing is being learned.`,
      remedy:
        'Check that init_lora_weights does not start both factors at zero and that the data has trained tokens.',
      facts: { step },
    });
  }

  #recordFailure(error: unknown): void {
    const report =
      error instanceof UserError
        ? error.toReport()
        : { code: 'internal-error', message: String(error), remedy: 'Please report this.' };
    try {
      this.#recorder.emit({ type: 'failed', step: this.#progress.step, error: report });
    } catch {
      // The disk may be what failed; the error itself reaches the caller.
    }
  }
}

function cancelledBefore(): RunError {
  return new RunError({
    code: 'run-cancelled',
    message: 'The run was cancelled before its first step.',
    remedy: 'Start it again.',
  });
}

function trainableParameters(plan: AdapterPlan): number {
  return plan.tensors.reduce((sum, tensor) => sum + (tensor.frozen ? 0 : elements(tensor.shape)), 0);
}

/** Peak resident memory of this process, in bytes: mapped weights that were touched count. */
function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1024;
}
