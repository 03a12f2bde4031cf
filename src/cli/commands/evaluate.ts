// evaluate: mean loss per token and perplexity of a model, with or without adapters, on a dataset.
import { resolve } from 'node:path';
import type { WeightedAdapter } from '../../protocol/trainer';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { type FourBitOptions, fourBitParams } from '../fourBitOptions';
import type { Terminal } from '../terminal';
import { TrainProgress } from '../trainProgress';
import { formatLoss } from '../units';

export interface EvaluateOptions extends FourBitOptions {
  model: string;
  adapter?: WeightedAdapter[];
  data: string;
  maxLength?: number;
  batchSize: number;
  device: string;
  threads: number;
}

export async function evaluate(options: EvaluateOptions, terminal: Terminal): Promise<number> {
  const progress = new TrainProgress(terminal, 'beside');
  const result = await callTrainer(
    'evaluate',
    {
      model: resolve(options.model),
      adapters: options.adapter ?? [],
      data: resolve(options.data),
      maxLength: options.maxLength ?? null,
      batchSize: options.batchSize,
      device: options.device,
      threads: options.threads,
      ...fourBitParams(options),
    },
    terminal,
    { onInterrupt: 'kill', onEvent: (event) => progress.show(event) },
  );
  terminal.document(result);
  terminal.line(
    `loss ${formatLoss(result.loss)}  perplexity ${formatLoss(result.perplexity)}  tokens ${result.tokens}`,
  );
  return exitCodes.ok;
}
