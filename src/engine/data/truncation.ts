// In: encoded samples that may be too long. Out: sequences of at most max_length tokens, by the policy chosen. Also cuts running text into windows.
import type { Truncation } from './dataset';
import type { EncodedSample } from './examples';
import { RowProblem } from './rowProblem';

export interface Truncated {
  ids: Int32Array;
  trained: Uint8Array;
  cut: number;
  /** The last trained token, as a rule EOS, was cut off. */
  lostEnd: boolean;
}

/** Applies a policy; null where the row is dropped. `keepFirst`: leading special tokens that a left cut keeps. @throws RowProblem */
export function truncate(
  sample: EncodedSample,
  maxLength: number,
  policy: Truncation,
  keepFirst: number,
): Truncated | null {
  const { ids, trained } = sample;
  const cut = ids.length - maxLength;
  if (cut <= 0) return { ids: Int32Array.from(ids), trained, cut: 0, lostEnd: false };
  switch (policy) {
    case 'error':
      throw new RowProblem(
        `the row has ${ids.length} tokens, max_length is ${maxLength}.`,
        'Raise max_length, shorten the rows, or choose truncation: right, left or drop.',
        'dataset-row-too-long',
      );
    case 'drop':
      return null;
    case 'right': {
      const lostEnd = trained.lastIndexOf(1) >= maxLength;
      return {
        ids: Int32Array.from(ids.slice(0, maxLength)),
        trained: trained.slice(0, maxLength),
        cut,
        lostEnd,
      };
    }
    case 'left': {
      const keep = Math.min(keepFirst, maxLength - 1);
      const tail = ids.length - (maxLength - keep);
      const kept = new Uint8Array(maxLength);
      kept.set(trained.subarray(0, keep));
      kept.set(trained.subarray(tail), keep);
      kept[0] = 0;
      return {
        ids: Int32Array.from([...ids.slice(0, keep), ...ids.slice(tail)]),
        trained: kept,
        cut,
        lostEnd: false,
      };
    }
  }
}

/** Cuts running text into windows of max_length tokens, each beginning with the tokenizer's leading special tokens. */
export class Windows {
  private pending: number[] = [];

  constructor(
    private readonly maxLength: number,
    private readonly prefix: readonly number[],
    private readonly eosId: number | null,
  ) {}

  /** Takes the ids of the next piece; yields the windows that are full, and at the end of the file the rest with EOS. */
  *push(ids: readonly number[], last: boolean): Generator<EncodedSample> {
    for (const id of ids) this.pending.push(id);
    if (last && this.eosId !== null) this.pending.push(this.eosId);
    const room = this.maxLength - this.prefix.length;
    let from = 0;
    while (this.pending.length - from >= room) {
      yield this.window(this.pending.slice(from, from + room));
      from += room;
    }
    this.pending = this.pending.slice(from);
    if (last && this.pending.length > 0) yield this.window(this.pending.splice(0));
  }

  private window(body: number[]): EncodedSample {
    const ids = [...this.prefix, ...body];
    const trained = new Uint8Array(ids.length).fill(1);
    trained[0] = 0;
    return { ids, trained };
  }
}
