// From one row of logits to the next token: greedy, or drawn by temperature, top-k and top-p. Knows no model. Ties go to
// the lower id everywhere, and draws walk the ids in order, so that a seed fixes every choice.
import { RunError } from '../errors';
import type { Random } from '../random';

export interface SamplingOptions {
  /** 0 takes the most probable token. */
  temperature: number;
  /** Smallest set of tokens whose probabilities add up to it; 1 switches it off. */
  topP: number;
  /** The k most probable tokens; 0 switches it off. */
  topK: number;
  /** Divides positive and multiplies negative logits of tokens that are in the text already (CTRL); 1 switches it off. */
  repetitionPenalty?: number;
}

/**
 * The next token. `logits` [V] is changed by the penalty only; `seen` are the ids of the text so far.
 * @throws RunError where no logit is a number.
 */
export function sampleToken(
  logits: Float32Array,
  options: SamplingOptions,
  random: Random,
  seen: Iterable<number> = [],
): number {
  if (options.repetitionPenalty !== undefined && options.repetitionPenalty !== 1)
    penalise(logits, options.repetitionPenalty, seen);
  const best = argmax(logits);
  if (options.temperature === 0) return best;
  const kept = candidates(logits, logits[best]!, options);
  let total = 0;
  for (const weight of kept) total += weight;
  let rest = random.uniform() * total;
  let token = best;
  for (let id = 0; id < kept.length; id++) {
    const weight = kept[id]!;
    if (weight === 0) continue;
    token = id;
    rest -= weight;
    if (rest < 0) break;
  }
  return token;
}

/** Index of the largest value, the first of equals. */
export function argmax(values: Float32Array): number {
  let best = -1;
  for (let i = 0; i < values.length; i++) {
    if (best < 0 ? values[i]! > -Infinity : values[i]! > values[best]!) best = i;
    if (Number.isNaN(values[i]!)) throw notFinite();
  }
  if (best < 0 || values[best] === Infinity) throw notFinite();
  return best;
}

/** exp((logit − largest)/temperature) of the tokens that may be drawn, 0 for the others. */
function candidates(logits: Float32Array, largest: number, options: SamplingOptions): Float32Array {
  const weights = logits.map((logit) => Math.exp((logit - largest) / options.temperature));
  if (options.topK > 0 && options.topK < weights.length) keepLargest(weights, options.topK);
  if (options.topP < 1) {
    const sorted = weights.slice().sort();
    let total = 0;
    for (const weight of sorted) total += weight;
    let count = 0;
    for (let sum = 0; count < sorted.length && (count === 0 || sum < options.topP * total); count++)
      sum += sorted[sorted.length - 1 - count]!;
    keepLargest(weights, count);
  }
  return weights;
}

/** Sets all but the `count` largest to 0. */
function keepLargest(weights: Float32Array, count: number): void {
  const sorted = weights.slice().sort();
  const threshold = sorted[sorted.length - count]!;
  let equals = count;
  for (const weight of weights) if (weight > threshold) equals--;
  for (let id = 0; id < weights.length; id++) {
    if (weights[id]! > threshold) continue;
    if (weights[id] === threshold && equals > 0) equals--;
    else weights[id] = 0;
  }
}

function penalise(logits: Float32Array, penalty: number, seen: Iterable<number>): void {
  for (const id of new Set(seen)) {
    const logit = logits[id];
    if (logit !== undefined) logits[id] = logit > 0 ? logit / penalty : logit * penalty;
  }
}

function notFinite(): RunError {
  return new RunError({
    code: 'logits-not-finite',
    message: 'The model computed logits that are not numbers, so that no next token can be chosen.',
    remedy: 'Check the checkpoint and the adapter for NaN and infinite values with inspect.',
  });
}
