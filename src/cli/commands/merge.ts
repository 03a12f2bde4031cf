// merge: a checkpoint with the adapter's update added to its weights, checked against the unmerged model.
import { resolve } from 'node:path';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { type FourBitOptions, fourBitParams } from '../fourBitOptions';
import { printable, type Terminal } from '../terminal';
import { TrainProgress } from '../trainProgress';

export interface MergeOptions extends FourBitOptions {
  model: string;
  adapter: string;
  out: string;
  device: string;
  threads: number;
}

export async function merge(options: MergeOptions, terminal: Terminal): Promise<number> {
  const progress = new TrainProgress(terminal);
  const result = await callTrainer(
    'merge',
    {
      model: resolve(options.model),
      adapter: resolve(options.adapter),
      out: resolve(options.out),
      device: options.device,
      threads: options.threads,
      ...fourBitParams(options),
    },
    terminal,
    { onInterrupt: 'kill', onEvent: (event) => progress.show(event) },
  );
  terminal.document(result);
  const check = `largest difference of logits ${result.maxLogitDifference.toExponential(1)}`;
  terminal.line(
    `${result.mergedModules} modules merged into ${printable(result.out)}; ${check}${result.verified ? '' : ', not verified'}`,
  );
  return exitCodes.ok;
}
