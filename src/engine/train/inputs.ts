// Everything a run reads, checked before anything is written: checkpoint, model, adapter plan, tokenizer, data.
import { createHash } from 'node:crypto';
import type { Recipe } from '../../protocol/recipe';
import type { EngineHost } from '../../protocol/trainer';
import { baseConfigName } from '../adapters/adapterNames';
import { baseConfigFile } from '../adapters/baseConfig';
import { planWithEarlier } from '../adapters/earlier';
import { withLoraPlusRates } from '../adapters/loraPlus';
import type { AdapterPlan } from '../adapters/plan';
import { baseTensors } from '../checkpoint/baseTensors';
import { type Checkpoint, openCheckpoint } from '../checkpoint/folder';
import {
  type BatchOptions,
  type Example,
  loadTokenizer,
  type PreparedData,
  prepareData,
  type Tokenizer,
} from '../data';
import { dataOptions } from '../data/recipeOptions';
import type { Model } from '../models/architecture';
import { attentionOf } from '../models/attentions';
import { modelOfRecipe } from '../models/stretchedPositions';
import { continuedValues } from './continuedAdapter';

export interface Inputs {
  checkpoint: Checkpoint;
  model: Model;
  plan: AdapterPlan;
  tokenizer: Tokenizer;
  data: PreparedData;
  /** Digest of the training examples in order. */
  dataDigest: string;
  /** Tensors of the adapter that a new run goes on from (`adapter_name_or_path`). */
  continued: ReadonlyMap<string, Float32Array>;
  /** What a person should know of them, in full sentences. */
  notes: readonly string[];
}

/** Reads and checks everything; raises UserError for whatever a person can mend. */
export async function readInputs(recipe: Recipe, host: EngineHost): Promise<Inputs> {
  const report = (phase: 'reading' | 'tokenizing', message: string): void =>
    host.emit({ type: 'progress', phase, message, fraction: null, time: new Date().toISOString() });
  report('reading', 'Reading the checkpoint');
  const checkpoint = await openCheckpoint(recipe.model);
  const { model, config, stretched, notes } = modelOfRecipe(checkpoint.config, recipe);
  attentionOf(recipe, model);
  baseTensors(checkpoint, model);
  const plan = withLoraPlusRates(await planWithEarlier(model, recipe), recipe);
  const { adapter_name_or_path: before } = recipe;
  // A checkpoint holds everything of its own.
  const starts = before !== null && recipe.resume_from_checkpoint === false;
  const continued = starts ? await continuedValues(before, model, plan) : new Map<string, Float32Array>();
  const tokenizer = await loadTokenizer(checkpoint.folder);
  report('tokenizing', 'Reading and tokenizing the data');
  const data = await prepareData(dataOptions(recipe, model, tokenizer));
  return {
    checkpoint,
    model,
    plan: stretched ? { ...plan, sideFiles: { [baseConfigName]: baseConfigFile(config) } } : plan,
    tokenizer,
    data,
    dataDigest: digest(data.train),
    continued,
    notes,
  };
}

/** How a recipe's examples are laid out in batches; evaluation keeps the order of the file. */
export function batchOptions(
  recipe: Recipe,
  { model, tokenizer }: Pick<Inputs, 'model' | 'tokenizer'>,
  purpose: 'train' | 'eval',
): BatchOptions {
  return {
    per_device_train_batch_size:
      purpose === 'train' ? recipe.per_device_train_batch_size : recipe.per_device_eval_batch_size,
    max_length: Math.min(recipe.max_length, model.maxPositions),
    packing: recipe.packing,
    // Frequencies that follow the length would change with the padding.
    pad_to_multiple_of: model.lengthDependent ? 1 : 32,
    shuffle: purpose === 'train' && recipe.shuffle,
    seed: recipe.data_seed,
    pad_token_id: tokenizer.padId,
  };
}

function digest(examples: readonly Example[]): string {
  const hash = createHash('sha256');
  for (const { ids, trained } of examples) hash.update(ids).update(trained);
  return hash.digest('hex');
}
