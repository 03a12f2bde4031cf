// The call `evaluate`: mean loss per token and perplexity of a model, with or without adapters, on a dataset.
import type { EngineHost, EvaluateParams, EvaluateResult, WeightedAdapter } from '../../protocol/trainer';
import { modelForAdapters } from '../adapters/baseConfig';
import { type LoadedAdapter, loadAdapter } from '../adapters/loaded';
import { requireFinite } from '../checkpoint/finite';
import { openCheckpoint } from '../checkpoint/folder';
import { type BatchPlan, loadTokenizer, planBatches, prepareData } from '../data';
import { RunError } from '../errors';
import { calledQuantization } from '../execution/baseQuantization';
import { BaseWeights } from '../execution/baseWeights';
import { chooseDevice, openDevice } from '../execution/device';
import { Evaluator, uploadParameters } from '../execution/evaluator';
import { choosePrecision } from '../execution/precision';
import { summedAdapter } from '../generate/slots';
import type { Model } from '../models/architecture';
import { fittedAdapters, weighted } from './adapterChoices';

/** Longest sequence where nobody says otherwise: long contexts cost memory that few datasets need. */
const usualLength = 2048;

/** Evaluates. Raises UserError for whatever a person can mend. */
export async function evaluate(params: EvaluateParams, host: EngineHost): Promise<EvaluateResult> {
  const progress = (
    phase: 'reading' | 'tokenizing' | 'evaluating',
    message: string,
    fraction: number | null,
  ): void => host.emit({ type: 'progress', phase, message, fraction, time: new Date().toISOString() });
  progress('reading', 'Reading the model', null);
  const checkpoint = await openCheckpoint(params.model);
  const chosen = weighted(params.adapters);
  const model = await modelForAdapters(
    checkpoint.config,
    chosen.map(({ folder }) => folder),
  );
  const adapters = [];
  for (const { folder } of chosen)
    adapters.push(await loadAdapter(folder, model, { acceptsBaseChange: true }));
  progress('tokenizing', 'Reading and tokenizing the data', null);
  const plan = await measuredBatches(params, checkpoint.folder, model);
  const precision = await choosePrecision('auto', chooseDevice(params.device));
  const runtime = openDevice(params);
  let cancel: NodeJS.Timeout | undefined;
  try {
    const weights = BaseWeights.of(runtime, checkpoint, model, precision, calledQuantization(params));
    const fitted = await fittedAdapters(adapters, { runtime, model, weights, alone: adapters.length === 1 });
    const adapter = asOne(
      fitted,
      chosen.map(({ weight }) => weight),
    );
    const parameters = adapter && uploadParameters(runtime, adapter.plan, adapter.values);
    const evaluator = new Evaluator({ runtime, model, weights, ...(parameters ? { parameters } : {}) });
    cancel = setInterval(() => {
      if (host.cancelRequested) evaluator.cancel();
    }, 50);
    let sum = 0;
    let tokens = 0;
    for (let k = 0; k < plan.count; k++) {
      if (host.cancelRequested) throw cancelled();
      progress('evaluating', `Batch ${k + 1} of ${plan.count}`, k / plan.count);
      const batch = plan.batch(k);
      sum += await evaluator.loss(batch, false);
      tokens += batch.trainedTokens;
    }
    const loss = sum / tokens;
    if (!Number.isFinite(loss)) {
      // The likeliest cause is the checkpoint itself; it then names the tensors.
      await requireFinite(checkpoint.tensors.values());
      throw notFinite(loss, params, chosen);
    }
    return { loss, perplexity: Math.exp(loss), tokens };
  } finally {
    clearInterval(cancel);
    await runtime.close();
  }
}

/** All of a dataset, once, as batches of like length. */
export async function measuredBatches(
  params: Pick<EvaluateParams, 'data' | 'maxLength' | 'batchSize'>,
  modelFolder: string,
  model: Model,
): Promise<BatchPlan> {
  const tokenizer = await loadTokenizer(modelFolder);
  const maxLength = Math.min(params.maxLength ?? usualLength, model.maxPositions);
  const data = await prepareData({
    tokenizer,
    dataset: params.data,
    max_length: maxLength,
    model_vocab_size: model.vocabularySize,
  });
  const options = {
    per_device_train_batch_size: params.batchSize,
    max_length: maxLength,
    pad_to_multiple_of: model.lengthDependent ? 1 : 64,
    group_by_length: true,
    shuffle: false,
    seed: 0,
    pad_token_id: tokenizer.padId,
  };
  return planBatches(data.train, options, 0);
}

/** An adapter alone acts by its own graph, several and weighted ones as the sum of their LoRA forms. */
function asOne(
  adapters: readonly LoadedAdapter[],
  weights: readonly number[],
): Pick<LoadedAdapter, 'plan' | 'values'> | undefined {
  const [first] = adapters;
  return adapters.length > 1 || (first && weights[0] !== 1) ? summedAdapter(adapters, weights) : first;
}

function cancelled(): RunError {
  return new RunError({
    code: 'run-cancelled',
    message: 'The evaluation was cancelled.',
    remedy: 'Start it again.',
  });
}

function notFinite(loss: number, params: EvaluateParams, chosen: readonly WeightedAdapter[]): RunError {
  return new RunError({
    code: 'loss-not-finite',
    message: `The loss of ${params.model}${chosen.length === 0 ? '' : ` with ${chosen.map(({ folder }) => folder).join(' and ')}`} on ${params.data} is ${loss}.`,
    remedy: 'Look at the model and the adapter with inspect; their weights may be damaged.',
  });
}
