// generate: text from a model and its adapters, shown as it comes.
import { resolve } from 'node:path';
import type { TrainerEvent, WeightedAdapter } from '../../protocol/trainer';
import { callTrainer } from '../calls';
import { exitCodes } from '../failure';
import { type FourBitOptions, fourBitParams } from '../fourBitOptions';
import { givenPrompts } from '../promptFile';
import { printable, type Terminal } from '../terminal';
import { TrainProgress } from '../trainProgress';

export interface GenerateOptions extends FourBitOptions {
  model: string;
  adapter?: WeightedAdapter[];
  prompt?: string[];
  prompts?: string;
  chat?: boolean;
  maxNewTokens: number;
  temperature: number;
  topP: number;
  topK: number;
  seed: number;
  device: string;
  threads: number;
}

export async function generate(options: GenerateOptions, terminal: Terminal): Promise<number> {
  const progress = new TrainProgress(terminal, 'beside');
  const prompts = givenPrompts(options.prompt ?? [], options.prompts);
  const single = prompts.length === 1;
  let streamed = false;
  const onEvent = (event: TrainerEvent): void => {
    if (event.type !== 'token') progress.show(event);
    else if (single) {
      // A completion goes on from its prompt; an answer in a chat stands by itself.
      if (!streamed && !options.chat) {
        const [first] = prompts;
        const text = typeof first === 'string' ? first : first!.prompt;
        terminal.piece(terminal.style('dim', printable(text)));
      }
      streamed = true;
      terminal.piece(printable(event.text));
    }
  };
  const { completions } = await callTrainer(
    'generate',
    {
      model: resolve(options.model),
      adapters: options.adapter ?? [],
      prompts,
      chat: options.chat ?? false,
      maxNewTokens: options.maxNewTokens,
      temperature: options.temperature,
      topP: options.topP,
      topK: options.topK,
      seed: options.seed,
      device: options.device,
      threads: options.threads,
      ...fourBitParams(options),
    },
    terminal,
    { onInterrupt: 'cancel', onEvent },
  );
  terminal.document(single ? completions[0] : completions);
  if (streamed) terminal.line('');
  else {
    for (const { prompt, text } of completions)
      terminal.line(
        `${terminal.style('dim', printable(prompt))}${options.chat ? '\n' : ''}${printable(text)}`,
      );
  }
  return completions.some((completion) => completion.finishReason === 'cancelled')
    ? exitCodes.interrupted
    : exitCodes.ok;
}
