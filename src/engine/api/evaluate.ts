// The call `evaluate`: mean loss per token and perplexity of a model, with or without an adapter, on a dataset.
import type { EngineHost, EvaluateParams, EvaluateResult } from '../../protocol/trainer';
import { modelForAdapters } from '../adapters/baseConfig';
import { loadAdapter } from '../adapters/loaded';
import { requireFinite } from '../checkpoint/finite';
import { openCheckpoint } from '../checkpoint/folder';
import { loadTokenizer, planBatches, prepareData } from '../data';
import { RunError } from '../errors';
import { calledQuantization } from '../execution/baseQuantization';
import { BaseWeights } from '../execution/baseWeights';
import { chooseDevice, openDevice } from '../execution/device';
import { Evaluator, uploadParameters } from '../execution/evaluator';
import { choosePrecision } from '../execution/precision';
import { fittedAdapter } from '../train/fittedAdapter';

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
  const model = await modelForAdapters(checkpoint.config, params.adapter === null ? [] : [params.adapter]);
  const adapter =
    params.adapter === null
      ? undefined
      : await loadAdapter(params.adapter, model, { acceptsBaseChange: true });
  const tokenizer = await loadTokenizer(checkpoint.folder);
  const maxLength = Math.min(params.maxLength ?? usualLength, model.maxPositions);
  progress('tokenizing', 'Reading and tokenizing the data', null);
  const data = await prepareData({
    tokenizer,
    dataset: params.data,
    max_length: maxLength,
    model_vocab_size: model.vocabularySize,
  });
  const plan = planBatches(
    data.train,
    {
      per_device_train_batch_size: params.batchSize,
      max_length: maxLength,
      pad_to_multiple_of: model.lengthDependent ? 1 : 64,
      group_by_length: true,
      shuffle: false,
      seed: 0,
      pad_token_id: tokenizer.padId,
    },
    0,
  );
  const precision = await choosePrecision('auto', chooseDevice(params.device));
  const runtime = openDevice(params);
  let cancel: NodeJS.Timeout | undefined;
  try {
    const weights = BaseWeights.of(runtime, checkpoint, model, precision, calledQuantization(params));
    const fitted = adapter && (await fittedAdapter(adapter, { runtime, model, weights })).adapter;
    const parameters = fitted && uploadParameters(runtime, fitted.plan, fitted.values);
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
      throw notFinite(loss, params);
    }
    return { loss, perplexity: Math.exp(loss), tokens };
  } finally {
    clearInterval(cancel);
    await runtime.close();
  }
}

function cancelled(): RunError {
  return new RunError({
    code: 'run-cancelled',
    message: 'The evaluation was cancelled.',
    remedy: 'Start it again.',
  });
}

function notFinite(loss: number, params: EvaluateParams): RunError {
  return new RunError({
    code: 'loss-not-finite',
    message: `The loss of ${params.model}${params.adapter === null ? '' : ` with ${params.adapter}`} on ${params.data} is ${loss}.`,
    remedy: 'Look at the model and the adapter with inspect; their weights may be damaged.',
  });
}
