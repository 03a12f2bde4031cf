// resize: an adapter of another rank, the closest there is, with what that leaves out.
import { resolve } from 'node:path';
import { RecipeError } from '../../engine/errors';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { printable, type Terminal, table } from '../terminal';
import { TrainProgress } from '../trainProgress';

export interface ResizeOptions {
  model: string;
  adapter: string;
  out: string;
  rank?: number;
  energy?: number;
  seed: number;
}

/** More are counted, not listed; --json has them all. */
const listed = 8;

export async function resize(options: ResizeOptions, terminal: Terminal): Promise<number> {
  const { rank, energy } = options;
  if ((rank === undefined) === (energy === undefined))
    throw new RecipeError({
      code: 'usage',
      message: `Resizing takes --rank or --energy, found ${rank === undefined ? 'neither' : 'both'}.`,
      remedy:
        'Give --rank for one rank everywhere, or --energy, such as 0.99, for the least rank that keeps so much.',
    });
  const progress = new TrainProgress(terminal);
  const result = await callTrainer(
    'resize',
    {
      model: resolve(options.model),
      adapter: resolve(options.adapter),
      out: resolve(options.out),
      rank: rank ?? null,
      energy: energy ?? null,
      seed: options.seed,
    },
    terminal,
    { onInterrupt: 'kill', onEvent: (event) => progress.show(event) },
  );
  terminal.document(result);
  for (const warning of result.warnings) terminal.line(printable(warning));
  const percent = (error: number): string => `${(100 * error).toPrecision(3)} %`;
  const worst = [...result.modules].sort((one, other) => other.relativeError - one.relativeError);
  const rows = worst
    .slice(0, listed)
    .map((one) => [printable(one.path), `r ${one.rankBefore} → ${one.rank}`, percent(one.relativeError)]);
  for (const line of table(rows)) terminal.line(line);
  if (worst.length > listed) terminal.line(`  … and ${worst.length - listed} modules that lose less`);
  terminal.line(
    `${result.modules.length} modules in ${printable(result.out)}; the update differs by ${percent(result.relativeError)}`,
  );
  return exitCodes.ok;
}
