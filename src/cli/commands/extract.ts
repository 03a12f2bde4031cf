// extract: what full fine-tuning changed in the linear layers, as a LoRA.
import { resolve } from 'node:path';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { printable, type Terminal } from '../terminal';
import { TrainProgress } from '../trainProgress';

export interface ExtractOptions {
  model: string;
  tuned: string;
  out: string;
  rank: number;
  device: string;
  threads: number;
}

export async function extract(options: ExtractOptions, terminal: Terminal): Promise<number> {
  const progress = new TrainProgress(terminal);
  const result = await callTrainer(
    'extract',
    {
      model: resolve(options.model),
      tuned: resolve(options.tuned),
      out: resolve(options.out),
      rank: options.rank,
      device: options.device,
      threads: options.threads,
    },
    terminal,
    { onInterrupt: 'kill', onEvent: (event) => progress.show(event) },
  );
  terminal.document(result);
  if (result.unheld.length > 0) {
    const some = result.unheld.slice(0, 3).join(', ');
    const more = result.unheld.length > 3 ? ` and ${result.unheld.length - 3} more` : '';
    terminal.line(printable(`Left out, since a LoRA cannot hold them: ${some}${more}.`));
  }
  terminal.line(
    `${result.modules.length} modules as a LoRA of rank ${options.rank} in ${printable(result.out)}; it leaves out ${(100 * result.relativeError).toPrecision(3)} % of the update's length`,
  );
  return exitCodes.ok;
}
