// The ways in which a run ends early, as errors that say where and what to do.

import { requireFinite } from '../checkpoint/finite';
import type { Checkpoint } from '../checkpoint/folder';
import type { Batch } from '../data';
import { RunError } from '../errors';

/**
 * A loss or gradient that is no number. Raises CheckpointError itself where the checkpoint is the cause, at any step: a
 * token's row is read when the token first comes.
 */
export async function notFinite(
  what: string,
  step: number,
  batches: readonly Batch[],
  run: { checkpoint: Checkpoint; newest: string | null; learningRate: number },
): Promise<RunError> {
  await requireFinite(run.checkpoint.tensors.values());
  const rows = batches.flatMap((batch) => batch.sourceRows.map(({ file, row }) => `${file}:${row}`));
  const shown = `${rows.slice(0, 16).join(', ')}${rows.length > 16 ? ', …' : ''}`;
  const { newest, learningRate } = run;
  return new RunError({
    code: 'loss-not-finite',
    message: `${what} at step ${step}. Rows of the batch: ${shown}. ${
      newest ? `The last good checkpoint is ${newest}.` : 'There is no checkpoint yet.'
    }`,
    remedy: `${newest ? 'Resume with --resume and' : 'Start again with'} a lower learning_rate than ${learningRate}.`,
    facts: { step, checkpoint: newest },
  });
}

/** float16 overflows at any loss scale: what overflows are activations. */
export function overflowing(step: number, newest: string | null): RunError {
  return new RunError({
    code: 'loss-scale-exhausted',
    message: `Step ${step} overflows float16 although the loss is not scaled any more.`,
    remedy: `Set dtype: bfloat16, or float32 where the device has none${newest ? ', and resume with --resume' : ''}.`,
    facts: { step, checkpoint: newest },
  });
}

export function gradientZero(step: number): RunError {
  return new RunError({
    code: 'gradient-zero',
    message: `The gradient of every trained tensor is exactly zero at step ${step}: nothing is being learned.`,
    remedy:
      'Check that init_lora_weights does not start both factors at zero and that the data has trained tokens.',
    facts: { step },
  });
}

/** @param step null before the first one. */
export function cancelled(step: number | null, checkpoint: string | null): RunError {
  return new RunError({
    code: 'run-cancelled',
    message: `The run was cancelled ${step === null ? 'before its first step' : `after step ${step}`}.`,
    remedy: checkpoint ? 'Go on from its last checkpoint with --resume.' : 'Start it again.',
    facts: { step, checkpoint },
  });
}
