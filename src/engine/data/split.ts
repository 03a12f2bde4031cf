// In: examples and a val_size. Out: two lists that share none, the same ones for the same seed. Knows nothing of files.
import { DataError } from '../errors';
import { Random } from '../random';
import { streams } from './streams';

/**
 * Takes val_size examples out for evaluation: a fraction when below 1, else a count. Both lists keep the order of the
 * file. @throws DataError when a list would be empty
 */
export function splitExamples<T>(
  examples: readonly T[],
  valSize: number,
  seed: number,
): { train: T[]; eval: T[] } {
  const whole = Number.isInteger(valSize) && valSize >= 1;
  if (!whole && !(valSize > 0 && valSize < 1)) {
    throw new DataError({
      code: 'dataset-bad-val-size',
      message: `val_size is ${valSize}, expected a fraction between 0 and 1 or a whole number of rows.`,
      remedy: 'Set val_size to 0.1 for a tenth, or to a number of rows such as 50.',
    });
  }
  const count = whole ? valSize : Math.max(1, Math.round(examples.length * valSize));
  if (count >= examples.length) {
    throw new DataError({
      code: 'dataset-bad-val-size',
      message: `val_size ${valSize} takes ${count} of ${examples.length} examples, so none is left to train on.`,
      remedy: 'Lower val_size, add rows, or give an eval_dataset.',
    });
  }
  const order = Uint32Array.from(examples, (_, i) => i);
  new Random(seed, streams.split).shuffle(order);
  const chosen = new Set(order.subarray(0, count));
  return {
    train: examples.filter((_, i) => !chosen.has(i)),
    eval: examples.filter((_, i) => chosen.has(i)),
  };
}
