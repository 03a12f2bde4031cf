// One call to a trainer process from the terminal: starts it, forwards Ctrl+C, ends it.
import type { TrainerEvent, TrainerMethod, TrainerMethods } from '../protocol/trainer';
import { TrainerClient } from '../trainer/client';
import { exitCodes } from './failure';
import type { Terminal } from './terminal';

interface CallOptions {
  onEvent?: (event: TrainerEvent) => void;
  /** What the first Ctrl+C asks for; the second ends everything at once. */
  onInterrupt: 'stop' | 'cancel' | 'kill';
}

/** Runs one method in a trainer process of its own. */
export async function callTrainer<M extends TrainerMethod>(
  method: M,
  params: TrainerMethods[M]['params'],
  terminal: Terminal,
  options: CallOptions,
): Promise<TrainerMethods[M]['result']> {
  // Tests put a program that dies in its place.
  const program = process.env.LORA_WORKBENCH_TRAINER;
  const client = new TrainerClient(program === undefined || program === '' ? {} : { program });
  let interrupts = 0;
  const onSignal = (): void => {
    interrupts++;
    if (interrupts > 1 || options.onInterrupt === 'kill') {
      client.kill();
      terminal.line('');
      process.exit(exitCodes.interrupted);
    }
    client.control(options.onInterrupt);
    if (options.onInterrupt === 'stop') {
      terminal.line(
        'Stopping: this step is finished and a checkpoint is saved. Ctrl+C again ends it at once.',
      );
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    return await client.request(method, params, options.onEvent);
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    client.close();
  }
}
