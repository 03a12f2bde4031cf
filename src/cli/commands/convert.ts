// convert: an adapter as another type that computes the same.
import { resolve } from 'node:path';
import { RecipeError } from '../../engine/errors';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { printable, type Terminal } from '../terminal';

export interface ConvertOptions {
  model: string;
  adapter: string;
  to: string;
  out: string;
}

export async function convert(options: ConvertOptions, terminal: Terminal): Promise<number> {
  const { to: type } = options;
  if (type !== 'lora' && type !== 'rslora')
    throw new RecipeError({
      code: 'usage',
      message: `--to takes lora or rslora, found "${type}".`,
      remedy: 'Choose one of them.',
    });
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
