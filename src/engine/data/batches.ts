// In: examples, batch options and an epoch. Out: the epoch's batches, any of them on demand, so that a resume skips to batch k. A pure function: nothing here remembers.
import { invariant } from '../errors';
import { Random } from '../random';
import type { Example } from './dataset';
import { packSequences } from './packing';
import { streams } from './streams';

export interface BatchOptions {
  per_device_train_batch_size: number;
  /** Capacity of a pack, and the most that padding rounds up to. */
  max_length: number;
  /** Fills sequences with several examples that do not see each other. Default false. */
  packing?: boolean;
  /** The length of a batch is rounded up to a multiple of this, so that few graphs serve all batches. Default 64. */
  pad_to_multiple_of?: number;
  /** Puts examples of like length together, within groups of 50 batches as the HF Trainer does. Default false. */
  group_by_length?: boolean;
  /** Default true; evaluation keeps the order of the file. */
  shuffle?: boolean;
  seed: number;
  pad_token_id: number;
}

/** B rows of S tokens, row-major. */
export interface Batch {
  rows: number;
  length: number;
  ids: Int32Array;
  /** The next token, where it is learned; else -100. Never across examples of a pack. */
  targets: Int32Array;
  /** From 0 in each example; 0 on padding. */
  positions: Int32Array;
  /** From 1 in each row, one number per example; 0 on padding. Tokens attend within their segment alone. */
  segments: Int32Array;
  /** Targets that are not -100: the weight of this batch in the loss. */
  trainedTokens: number;
  /** Tokens that are not padding. */
  tokens: number;
  /** The examples in it. */
  sourceRows: { file: string; row: number }[];
}

export interface BatchPlan {
  /** How many batches the epoch has. */
  readonly count: number;
  /** Indices into the examples: per batch, per row, in order. */
  readonly layout: readonly (readonly (readonly number[])[])[];
  /** Builds batch k, from 0. */
  batch(k: number): Batch;
  /** The batches from k on. */
  from(k: number): Generator<Batch>;
}

export const ignoredTarget = -100;
const groupBatches = 50;

/** Plans one epoch. The same examples, options and epoch give the same batches, byte for byte. */
export function planBatches(examples: readonly Example[], options: BatchOptions, epoch: number): BatchPlan {
  const { seed, max_length: maxLength, per_device_train_batch_size: batchSize } = options;
  invariant(Number.isInteger(batchSize) && batchSize >= 1, `a batch has at least one row, not ${batchSize}`);
  const lengths = Int32Array.from(examples, (example) => example.ids.length);
  const order = Uint32Array.from(examples, (_, i) => i);
  if (options.shuffle ?? true) new Random(seed, streams.epoch, epoch).shuffle(order);

  let rows: number[][];
  if (options.packing) {
    invariant(
      lengths.every((length) => length <= maxLength),
      'an example is longer than max_length',
    );
    const packs = packSequences(lengths, order, maxLength);
    const sequence = Uint32Array.from(packs, (_, i) => i);
    // Best fit puts the fullest packs first; training must not see the long examples first.
    if (options.shuffle ?? true) new Random(seed, streams.packs, epoch).shuffle(sequence);
    rows = Array.from(sequence, (i) => packs[i]!);
  } else {
    const sorted = options.group_by_length ? groupByLength(order, lengths, batchSize) : order;
    rows = Array.from(sorted, (i) => [i]);
  }
  const layout: number[][][] = [];
  for (let i = 0; i < rows.length; i += batchSize) layout.push(rows.slice(i, i + batchSize));

  const batch = (k: number): Batch => {
    const members = layout[k];
    invariant(members, `batch ${k} of ${layout.length}`);
    return buildBatch(examples, members, options);
  };
  return {
    count: layout.length,
    layout,
    batch,
    *from(k) {
      for (let i = k; i < layout.length; i++) yield batch(i);
    },
  };
}

/** Sorts by length, longest first, within groups of 50 batches of the shuffled order. */
function groupByLength(order: Uint32Array, lengths: Int32Array, batchSize: number): Uint32Array {
  const group = groupBatches * batchSize;
  for (let i = 0; i < order.length; i += group) {
    const part = Array.from(order.subarray(i, i + group), (index, rank) => ({ index, rank }));
    part.sort((a, b) => lengths[b.index]! - lengths[a.index]! || a.rank - b.rank);
    order.set(
      part.map((entry) => entry.index),
      i,
    );
  }
  return order;
}

/** Lays examples out in rows; rows without examples are all padding, so that every batch has the same height. */
function buildBatch(
  examples: readonly Example[],
  members: readonly (readonly number[])[],
  options: BatchOptions,
): Batch {
  const rows = options.per_device_train_batch_size;
  const longest = Math.max(...members.map((row) => row.reduce((sum, i) => sum + examples[i]!.ids.length, 0)));
  const multiple = options.pad_to_multiple_of ?? 64;
  const rounded = Math.ceil(longest / multiple) * multiple;
  const length = Math.max(longest, Math.min(rounded, options.max_length));

  const size = rows * length;
  const batch: Batch = {
    rows,
    length,
    ids: new Int32Array(size).fill(options.pad_token_id),
    targets: new Int32Array(size).fill(ignoredTarget),
    positions: new Int32Array(size),
    segments: new Int32Array(size),
    trainedTokens: 0,
    tokens: 0,
    sourceRows: [],
  };
  members.forEach((row, r) => {
    let at = r * length;
    row.forEach((index, s) => {
      const { ids, trained, file, row: sourceRow } = examples[index]!;
      batch.ids.set(ids, at);
      for (let t = 0; t < ids.length; t++) {
        batch.positions[at + t] = t;
        batch.segments[at + t] = s + 1;
        if (t + 1 < ids.length && trained[t + 1] === 1) {
          batch.targets[at + t] = ids[t + 1]!;
          batch.trainedTokens++;
        }
      }
      batch.tokens += ids.length;
      batch.sourceRows.push({ file, row: sourceRow });
      at += ids.length;
    });
  });
  return batch;
}
