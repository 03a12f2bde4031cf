// convert: an adapter as another type that computes the same; with --average-over one that comes near.
import { resolve } from 'node:path';
import { RecipeError } from '../../engine/errors';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { printable, type Terminal } from '../terminal';
import { TrainProgress } from '../trainProgress';
import { formatLoss } from '../units';

export interface ConvertOptions {
  model: string;
  adapter: string;
  to: string;
  out: string;
  averageOver?: string;
  device: string;
  threads: number;
}

export async function convert(options: ConvertOptions, terminal: Terminal): Promise<number> {
  const { to: type } = options;
  if (type !== 'lora' && type !== 'rslora')
    throw new RecipeError({
      code: 'usage',
      message: `--to takes lora or rslora, found "${type}".`,
      remedy: 'Choose one of them.',
    });
  if (options.averageOver !== undefined) return average(options, options.averageOver, terminal);
  const result = await callTrainer(
    'convert',
    { model: resolve(options.model), adapter: resolve(options.adapter), type, out: resolve(options.out) },
    terminal,
    { onInterrupt: 'kill' },
  );
  terminal.document(result);
  for (const warning of result.warnings) terminal.line(printable(warning));
  terminal.line(
    `${result.from} as ${type} on ${result.modules} modules in ${printable(result.out)}; the same update`,
  );
  return exitCodes.ok;
}

async function average(options: ConvertOptions, data: string, terminal: Terminal): Promise<number> {
  if (options.to !== 'lora')
    throw new RecipeError({
      code: 'usage',
      message: `--average-over writes a lora, and --to says ${options.to}.`,
      remedy: 'Leave --to out.',
    });
  const progress = new TrainProgress(terminal, 'beside');
  const result = await callTrainer(
    'average',
    {
      model: resolve(options.model),
      adapter: resolve(options.adapter),
      data: resolve(data),
      maxLength: null,
      batchSize: 4,
      out: resolve(options.out),
      device: options.device,
      threads: options.threads,
    },
    terminal,
    { onInterrupt: 'cancel', onEvent: (event) => progress.show(event) },
  );
  terminal.document(result);
  for (const warning of result.warnings) terminal.line(printable(warning));
  terminal.line(
    `Gates held at their means over ${result.tokens} tokens, as a lora of rank ${result.rank} on ${result.modules} modules in ${printable(result.out)}`,
  );
  const change = result.lossAfter - result.lossBefore;
  terminal.line(
    `loss ${formatLoss(result.lossBefore)} with gates, ${formatLoss(result.lossAfter)} without (${change < 0 ? '−' : '+'}${formatLoss(Math.abs(change))}); not exact`,
  );
  return exitCodes.ok;
}
