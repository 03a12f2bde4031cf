// The call `intrinsicDimension`: how many free numbers a task needs. Trains all weights, then random subspaces of d dimensions
// (adapters/intrinsic.ts), each by the ordinary run, and compares how far the evaluation loss falls. d90 is the smallest d
// tried whose mean fall reaches 90 % of full fine-tuning's; of every seed by itself it is told too. Runs stay in folders below the recipe's output_dir, their weights not.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Recipe } from '../../protocol/recipe';
import type {
  EngineHost,
  IntrinsicDimensionParams,
  IntrinsicDimensionPoint,
  IntrinsicDimensionResult,
} from '../../protocol/trainer';
import { adapterKeys } from '../adapters/settingKeys';
import { catalogue } from '../catalogue';
import { planBatches } from '../data';
import { elements } from '../dtype';
import { RecipeError, RunError } from '../errors';
import { BaseWeights } from '../execution/baseWeights';
import { openDevice } from '../execution/device';
import { Evaluator } from '../execution/evaluator';
import { modelTensors } from '../models/architecture';
import { chosenEntry } from '../recipe/catalogue';
import { coreFields } from '../recipe/fields';
import { batchOptions, readInputs } from '../train/inputs';
import { train } from '../train/run';

/** Dimensions tried where none are given, from this one on, each so many times the one before. */
const [firstDimension, growth, mostDimension] = [4, 4, 65_536];

/** Raises RecipeError for what cannot be measured, RunError `run-cancelled` and what runs raise. */
export async function intrinsicDimension(
  params: IntrinsicDimensionParams,
  host: EngineHost,
): Promise<IntrinsicDimensionResult> {
  const { recipe, seeds, threshold } = params;
  if (recipe.eval_dataset.length === 0 && recipe.val_size === 0) {
    throw new RecipeError({
      code: 'recipe-invalid',
      message: 'The intrinsic dimension is read from the evaluation loss, and the recipe holds no data out.',
      remedy: 'Add eval_dataset or val_size: 0.1.',
    });
  }
  const rates = params.learningRates ?? [recipe.learning_rate];
  const { loss: baseLoss, parameters } = await baseOf(recipe, host);
  const measured = (dimension: number | null) => measure(params, rates, dimension, baseLoss, host);

  const full = await measured(null);
  if (full.meanLoss >= baseLoss) {
    throw new RunError({
      code: 'full-training-gains-nothing',
      message: `Full fine-tuning ends at an evaluation loss of ${full.meanLoss.toFixed(4)}, the base model has ${baseLoss.toFixed(4)}: there is no gain to compare with.`,
      remedy: 'Give more steps or other learning rates (--learning-rate).',
    });
  }
  const gain = baseLoss - full.meanLoss;
  const points: IntrinsicDimensionPoint[] = [];
  let d90: number | null = null;
  for (const dimension of params.dimensions ?? automatic(parameters)) {
    const point = await measured(dimension);
    points.push({ ...point, share: (baseLoss - point.meanLoss) / gain });
    if (d90 === null && points.at(-1)!.share >= threshold) d90 = dimension;
    // Larger ones would tell nothing new; a list that was given is tried whole.
    if (d90 !== null && params.dimensions === null) break;
  }
  // Steps of four are coarse: once more half-way between what is not enough and what is, on the scale of the steps.
  const [failing, passing] = points.slice(-2);
  if (params.dimensions === null && d90 !== null && passing && failing!.share < threshold) {
    const between = Math.round(Math.sqrt(failing!.dimension! * d90));
    const point = await measured(between);
    const share = (baseLoss - point.meanLoss) / gain;
    points.splice(-1, 0, { ...point, share });
    if (share >= threshold) d90 = between;
  }
  return {
    d90,
    d90BySeed: seeds.map((_, seed) => {
      const ownGain = baseLoss - full.losses[seed]!;
      const enough = ({ losses }: IntrinsicDimensionPoint) =>
        ownGain > 0 && (baseLoss - losses[seed]!) / ownGain >= threshold;
      return points.find(enough)?.dimension ?? null;
    }),
    threshold,
    baseLoss,
    parameters,
    projection: params.projection,
    scope: params.scope,
    seeds,
    full: { ...full, share: 1 },
    points,
  };
}

function automatic(parameters: number): number[] {
  const all: number[] = [];
  for (let d = firstDimension; d <= Math.min(parameters, mostDimension); d *= growth) all.push(d);
  return all;
}

/** The base model's evaluation loss, and how many parameters it has. */
async function baseOf(recipe: Recipe, host: EngineHost): Promise<{ loss: number; parameters: number }> {
  const inputs = await readInputs(subspace(recipe, 1, 0, 'fastfood', 'all'), quiet(host, 'The base model'));
  const runtime = openDevice(recipe);
  try {
    const weights = BaseWeights.of(runtime, inputs.checkpoint, inputs.model);
    const evaluator = new Evaluator({ runtime, model: inputs.model, weights });
    let [sum, tokens] = [0, 0];
    for (const batch of planBatches(inputs.data.eval, batchOptions(recipe, inputs, 'eval'), 0).from(0)) {
      if (cancelled(host)) throw stopped();
      sum += await evaluator.loss(batch, recipe.packing);
      tokens += batch.trainedTokens;
    }
    evaluator.release();
    weights.release();
    const sizes = modelTensors(inputs.model).map(({ shape }) => elements(shape));
    return { loss: sum / tokens, parameters: sizes.reduce((total, size) => total + size, 0) };
  } finally {
    await runtime.close();
  }
}

/** One dimension (null: every weight), over seeds, at the learning rate that does best on average. */
async function measure(
  params: IntrinsicDimensionParams,
  rates: readonly number[],
  dimension: number | null,
  baseLoss: number,
  host: EngineHost,
): Promise<Omit<IntrinsicDimensionPoint, 'share'>> {
  const { recipe, seeds, projection, scope } = params;
  let best: Omit<IntrinsicDimensionPoint, 'share'> | undefined;
  for (const learningRate of rates) {
    const losses: number[] = [];
    for (const seed of seeds) {
      if (cancelled(host)) throw stopped();
      const name = `${dimension === null ? 'full' : `d-${dimension}`}-seed-${seed}-rate-${learningRate}`;
      const own =
        dimension === null ? withoutAdapter(recipe) : subspace(recipe, dimension, seed, projection, scope);
      const run = {
        ...own,
        name,
        seed,
        learning_rate: learningRate,
        output_dir: join(recipe.output_dir, name),
      };
      losses.push(await finalLoss(run, baseLoss, quiet(host, name)));
    }
    const meanLoss = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    if (best === undefined || meanLoss < best.meanLoss)
      best = { dimension, learningRate, losses, meanLoss, deviation: deviationOf(losses, meanLoss) };
  }
  return best!;
}

/** Of the sample; 0 for one seed. */
function deviationOf(losses: readonly number[], mean: number): number {
  if (losses.length < 2) return 0;
  return Math.sqrt(losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / (losses.length - 1));
}

/** Trains, evaluates at the end, and removes the weights; a run that diverges counts as no gain. */
async function finalLoss(recipe: Recipe, baseLoss: number, host: EngineHost): Promise<number> {
  try {
    const { run, evalLoss } = await train({ recipe, notes: [] }, host);
    for (const part of ['checkpoints', 'model', 'adapter'])
      await rm(join(run, part), { recursive: true, force: true });
    return evalLoss ?? baseLoss;
  } catch (cause) {
    if (cause instanceof RunError && cause.code === 'loss-not-finite') return baseLoss;
    throw cause;
  }
}

/** The recipe for every weight; the run saves and evaluates at its end alone. */
function withoutAdapter(recipe: Recipe): Recipe {
  const usual = Object.fromEntries(
    coreFields(catalogue)
      .filter(({ key }) => (adapterKeys as readonly string[]).includes(key) && key !== 'target_modules')
      .map(({ key, default: value }) => [key, value ?? null]),
  );
  const optimizer = chosenEntry(catalogue.optim, recipe.optim)?.fields ?? [];
  const kept = Object.entries(recipe.settings).filter(([key]) =>
    optimizer.some((field) => field.key === key),
  );
  return {
    ...recipe,
    ...usual,
    adapter: 'none',
    adapter_name_or_path: null,
    preset: null,
    load_in_4bit: false,
    loraplus_lr_ratio: null,
    loraplus_lr_embedding: null,
    modules_to_save: [],
    lora_dropout: 0,
    settings: Object.fromEntries(kept),
    eval_strategy: 'no',
    save_strategy: 'no',
    load_best_model_at_end: false,
    early_stopping_patience: null,
    sample_prompts: [],
    report_to: 'none',
    resume_from_checkpoint: false,
  };
}

function subspace(
  recipe: Recipe,
  dimension: number,
  seed: number,
  projection: string,
  scope: string,
): Recipe {
  const plain = withoutAdapter(recipe);
  return {
    ...plain,
    adapter: 'intrinsic',
    settings: {
      ...plain.settings,
      intrinsic_dimension: dimension,
      projection,
      projection_scope: scope,
      projection_seed: seed,
    },
  };
}

/** Tells which run is under way, and of it the steps alone; stopping is cancelling, since nothing is to be saved. */
function quiet(host: EngineHost, name: string): EngineHost {
  return {
    emit(event) {
      if (event.type !== 'step') return;
      const message = `${name}: step ${event.step}, loss ${event.loss.toFixed(4)}`;
      host.emit({ type: 'progress', phase: 'evaluating', message, fraction: null, time: event.time });
    },
    stopRequested: false,
    get cancelRequested() {
      return cancelled(host);
    },
    takeCheckpointRequest: () => false,
  };
}

const cancelled = (host: EngineHost): boolean => host.cancelRequested || host.stopRequested;

function stopped(): RunError {
  return new RunError({
    code: 'run-cancelled',
    message: 'The analysis was cancelled.',
    remedy: 'Start it again; finished runs lie below output_dir.',
  });
}
