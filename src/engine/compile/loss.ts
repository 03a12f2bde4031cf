// Cross-entropy over chunks of tokens, so that logits of the whole batch never exist. The gradient of the logits is made in
// the forward pass, from the same softmax, and seeds the backward pass.
//
// Order matters (measured): the loss is emitted before anything that consumes the gradient, and the label's probability is
// read on the gradient's path, so that a chunk's probabilities die before the next chunk's are made.
import type { Seed } from '../autodiff/backward';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { Precision } from '../graph/precision';

/** Rows per chunk: smaller ones slow the products down by a tenth and more. */
const lossChunk = 256;
/** What the logits of one chunk may take on CUDA, in fp32. Chosen, not measured on a GPU. */
const logitBytes = 2 ** 29;

/**
 * Rows per chunk on a device. A GPU is busy with wide products alone: 256 rows of states are 16 tiles of their gradient for more
 * than a hundred processors. There a chunk is up to a quarter of the batch, so that logits stay a small part of its memory.
 */
export function lossRows(
  device: Precision['device'] | undefined,
  vocabulary: number,
  tokens: number,
): number {
  if (device !== 'cuda') return lossChunk;
  const most = Math.min(logitBytes / (4 * vocabulary), tokens / 4);
  return lossChunk * Math.max(1, Math.floor(most / lossChunk));
}

export interface ChunkedLoss {
  /** Σ weight · −log p(target), a scalar. */
  loss: Value;
  /** What the backward pass starts from. */
  seeds: Seed[];
}

interface LossInputs {
  /** [N, D] after the last norm. */
  hidden: Value;
  /** int64 [N]; any valid id where the weight is 0. */
  targets: Value;
  /** float32 [N]: 1/(trained tokens of the whole accumulated batch), 0 where nothing is trained. */
  weights: Value;
  /** [rows, D] → [rows, V]. */
  head(x: Value): Value;
  /** Rows per chunk. */
  chunk: number;
  /** Whether anything of the head trains: then the logits' gradient itself is weighted, else the hidden state's. */
  headTrains: boolean;
}

/** The loss and the seeds of its gradient. */
export function chunkedLoss(b: GraphBuilder, inputs: LossInputs): ChunkedLoss {
  return b.scope('loss', () => {
    const sizes = chunkSizes(inputs.hidden.shape[0]!, inputs.chunk);
    const hidden = b.split(inputs.hidden, 0, sizes);
    const targets = b.split(inputs.targets, 0, sizes);
    const weights = b.split(inputs.weights, 0, sizes);
    const seeds: Seed[] = [];
    const parts = sizes.map((size, i) => {
      const weight = b.reshape(weights[i]!, [size, 1]);
      const states = inputs.headTrains ? hidden[i]! : b.op('ScaleGradient', [hidden[i]!, weight], {});
      const logits = inputs.head(states);
      const probabilities = b.op('Softmax', [logits], { axis: -1 });
      const label = b.reshape(targets[i]!, [size, 1]);
      const chosen = b.op('GatherElements', [probabilities, label], { axis: 1 });
      // ∂(−log p)/∂logits = p − onehot, taken in fp32; kept as the product takes it, unless it is weighted first.
      const kept = (x: Value): Value => (inputs.headTrains ? x : b.op('Stored', [x], {}));
      const updates = kept(b.sub(chosen, b.scalar(1)));
      const difference = b.op('ScatterElements', [kept(probabilities), label, updates], { axis: 1 });
      seeds.push({ value: logits, gradient: inputs.headTrains ? b.mul(difference, weight) : difference });
      return weightedLoss(b, chosen, weight);
    });
    return { loss: parts.reduce((sum, part) => b.add(sum, part)), seeds };
  });
}

/** The loss alone, for evaluation. */
export function forwardLoss(b: GraphBuilder, inputs: Omit<LossInputs, 'headTrains'>): Value {
  return b.scope('loss', () => {
    const sizes = chunkSizes(inputs.hidden.shape[0]!, inputs.chunk);
    const hidden = b.split(inputs.hidden, 0, sizes);
    const targets = b.split(inputs.targets, 0, sizes);
    const weights = b.split(inputs.weights, 0, sizes);
    const parts = sizes.map((size, i) => {
      const probabilities = b.op('Softmax', [inputs.head(hidden[i]!)], { axis: -1 });
      const chosen = b.op('GatherElements', [probabilities, b.reshape(targets[i]!, [size, 1])], { axis: 1 });
      return weightedLoss(b, chosen, b.reshape(weights[i]!, [size, 1]));
    });
    return parts.reduce((sum, part) => b.add(sum, part));
  });
}

/** Σ w · −log p; p is held above the smallest normal number, so that the logarithm is finite. */
function weightedLoss(b: GraphBuilder, chosen: Value, weight: Value): Value {
  const logarithm = b.op('Log', [b.op('Max', [chosen, b.scalar(1e-37)], {})], {});
  return b.op('Neg', [b.sum(b.mul(logarithm, weight), [0, 1], 0)], {});
}

function chunkSizes(rows: number, chunk: number): number[] {
  const sizes: number[] = [];
  for (let done = 0; done < rows; done += chunk) sizes.push(Math.min(chunk, rows - done));
  return sizes;
}
