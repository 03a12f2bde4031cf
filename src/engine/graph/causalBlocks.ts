// Causal attention in blocks of queries, each with the keys that it can see: how many blocks, and what is added to a block's
// scores. Shared by the forward pass of models and by gradient rules; knows neither.
import type { GraphBuilder } from './builder';
import type { Value } from './graph';
import type { Precision } from './precision';

/** A masked score: exp underflows to exactly zero, and sums with real scores stay finite. */
export const masked = -1e30;
/** Shortest block: at 1,024 positions on the CPU blocks of 256 save a tenth of the time and a fifth of the activations' memory. */
const blockLength = 256;
/** Most that the scores of one block take on CUDA, in fp32. Chosen, not measured on a GPU. */
const scoreBytes = 256 * 2 ** 20;
/**
 * On CUDA: how often a step reads or writes an element of the scores; kernels of one more block, with those that put its results
 * beside the others'; elements that are moved in the time of one kernel (execution/joining.ts). Counted, not measured on a GPU.
 */
const passes = 12;
const blockKernels = 17;
const kernelElements = 2 ** 21;

/** Queries [start, end) of a sequence. */
export interface Block {
  start: number;
  end: number;
}

/** @param sequences rows times heads: each has its own scores. */
export function queryBlocks(length: number, sequences: number, device: Precision['device']): Block[] {
  const most = Math.max(1, Math.floor(length / blockLength));
  const count = device === 'cuda' ? cudaBlocks(sequences * length * length, most) : most;
  const size = Math.ceil(length / count);
  return Array.from({ length: count }, (_, i) => ({
    start: i * size,
    end: Math.min(length, (i + 1) * size),
  })).filter((block) => block.start < block.end);
}

/** The number of blocks that moves least: of n blocks (n + 1) / 2n of the scores are made. */
function cudaBlocks(scores: number, most: number): number {
  const needed = Math.min(most, Math.ceil((4 * scores) / scoreBytes));
  let best = Math.max(1, needed);
  const cost = (n: number): number =>
    (passes * scores * (n + 1)) / (2 * n) + n * blockKernels * kernelElements;
  for (let n = best + 1; n <= most; n++) if (cost(n) < cost(best)) best = n;
  return best;
}

/** What a query block may look at: keys from `firstKey` to its own end, `window` back at most. 1 where a position is seen. */
export function visibleKeys({ start, end }: Block, firstKey: number, window: number | undefined): Uint8Array {
  const [count, keys] = [end - start, end - firstKey];
  const visible = new Uint8Array(count * keys);
  for (let q = 0; q < count; q++) {
    const position = start + q;
    const from = Math.max(firstKey, window === undefined ? 0 : position - window + 1);
    for (let k = from; k <= position; k++) visible[q * keys + k - firstKey] = 1;
  }
  return visible;
}

/** Added to the scores [.., queries, keys] of a block: zero where a position may look, `masked` elsewhere. Once per graph. */
export function causalMask(b: GraphBuilder, block: Block, firstKey = 0, window?: number): Value {
  const key = `causal mask ${block.start}:${block.end}:${firstKey}:${window ?? ''}`;
  return b.once(key, () => {
    const shape = [block.end - block.start, block.end - firstKey];
    const added = Float32Array.from(visibleKeys(block, firstKey, window), (seen) => (seen ? 0 : masked));
    return b.constant('float32', shape, added, 'causal_mask');
  });
}
