// The other side of the model: the kernels that a training step of PEFT + PyTorch starts on a GPU (eager, bf16 autocast over a
// bf16 base, adapters in fp32, SDPA with FlashAttention, no checkpointing, no torch.compile), in the same terms as ours.
// Read from transformers' modeling_llama.py, PEFT's lora/layer.py and PyTorch's autograd formulas; bytes as written by hand.
import type { Model } from '../../src/engine/models/architecture';
import { type Cost, type Kind, type Machine, secondsOf } from './costs';

export interface Step {
  costs: { kind: Kind; cost: Cost }[];
  /** Weights, adapters, optimizer state, activations and logits at the height of the step. */
  peakBytes: number;
}

/** @param trained elements of the adapters. */
export function peftStep(
  model: Model,
  rows: number,
  length: number,
  r: number,
  trained: number,
  m: Machine,
): Step {
  const costs: Step['costs'] = [];
  const tokens = rows * length;
  const {
    hiddenSize: d,
    intermediateSize: ff,
    vocabularySize: v,
    heads,
    keyValueHeads,
    headSize,
    layers,
  } = model;
  const [q, kv] = [heads * headSize, keyValueHeads * headSize];
  const add = (
    kind: Kind,
    pass: 'forward' | 'backward',
    count: number,
    work: { kernels?: number; bytes: number; flops?: number },
    rate = m.productRate * m.productEfficiency,
  ): void => {
    const { kernels = 1, bytes, flops = 0 } = work;
    const host = pass === 'forward' ? m.torchSecondsPerOperator : m.torchSecondsPerBackward;
    const seconds = count * secondsOf({ kernels, bytes, flops }, rate, m);
    costs.push({
      kind,
      cost: {
        kernels: count * kernels,
        bytes: count * bytes,
        flops: count * flops,
        seconds,
        hostSeconds: count * kernels * host,
      },
    });
  };
  /** Kernels over `elements`, so many bytes of each in all. */
  const passes = (
    kind: Kind,
    pass: 'forward' | 'backward',
    count: number,
    kernels: number,
    elements: number,
    each: number,
  ) => add(kind, pass, count, { kernels, bytes: elements * each });
  const product = (
    kind: Kind,
    pass: 'forward' | 'backward',
    count: number,
    a: number,
    b: number,
    c: number,
  ) => add(kind, pass, count, { flops: 2 * a * b * c, bytes: 2 * (a * b + b * c + a * c) });

  // Activations of a layer that share a source, and their readers.
  const linears = [
    [d, q],
    [d, kv],
    [d, kv],
    [q, d],
    [d, ff],
    [d, ff],
    [ff, d],
  ] as const;
  for (const [width, out] of linears) {
    product('products of the base', 'forward', layers, tokens, width, out);
    product('products of the base', 'backward', layers, tokens, out, width);
    // x to fp32 and back to bf16; A and B to bf16.
    passes('casts', 'forward', layers, 2, tokens * width, 12);
    passes('casts', 'forward', layers, 2, r * (width + out), 6);
    product('products of the adapter', 'forward', layers, tokens, width, r);
    product('products of the adapter', 'forward', layers, tokens, r, out);
    // · scaling, + base
    passes('elementwise, sums', 'forward', layers, 2, tokens * out, 4 + 6);
    passes('elementwise, sums', 'backward', layers, 1, tokens * out, 4);
    product('products of the adapter', 'backward', layers, tokens, out, r);
    product('products of the adapter', 'backward', layers, out, tokens, r);
    product('products of the adapter', 'backward', layers, r, tokens, width);
    product('products of the adapter', 'backward', layers, tokens, r, width);
    // dx to fp32 and back, + that of the base; dA and dB to fp32, into .grad.
    passes('casts', 'backward', layers, 2, tokens * width, 12);
    passes('elementwise, sums', 'backward', layers, 1, tokens * width, 6);
    passes('casts', 'backward', layers, 2, r * (width + out), 6);
  }
  // Gradients of q, k, v and of gate, up meet.
  passes('elementwise, sums', 'backward', layers, 3, tokens * d, 18);
  // to fp32, square, mean, + epsilon, 1/√, ·, to bf16, · weight; backward the same with the sums.
  passes('norms', 'forward', 2 * layers + 1, 8, tokens * d, 36);
  passes('norms', 'backward', 2 * layers + 1, 13, tokens * d, 76);
  // Residual sums, and their gradients.
  passes('elementwise, sums', 'forward', 2 * layers, 1, tokens * d, 6);
  passes('elementwise, sums', 'backward', 2 * layers, 1, tokens * d, 6);
  // x·cos + rotate_half(x)·sin
  passes('copies, transposes, rotary', 'forward', layers, 10, tokens * (q + kv), 20);
  passes('copies, transposes, rotary', 'backward', layers, 20, tokens * (q + kv), 30);
  const scores = 4 * rows * heads * length * length * headSize;
  const io = 2 * tokens * (2 * q + 2 * kv);
  add(
    'fused attention',
    'forward',
    layers,
    { flops: scores / 2, bytes: io },
    m.productRate * m.attentionEfficiency,
  );
  add(
    'fused attention',
    'backward',
    layers,
    { kernels: 3, flops: (2.5 * scores) / 2, bytes: 2 * io + 8 * tokens * q },
    m.productRate * m.attentionBackwardEfficiency,
  );
  passes('activation', 'forward', layers, 2, tokens * ff, 4 + 6);
  passes('activation', 'backward', layers, 3, tokens * ff, 6 + 6 + 6);
  passes('elementwise, sums', 'forward', 1, 1, tokens * d, 4);
  product('products of the head', 'forward', 1, tokens, d, v);
  product('products of the head', 'backward', 1, tokens, v, d);
  // to fp32, log-softmax (three reads), zeros and −1, its backward, to bf16
  passes('loss over the vocabulary', 'forward', 1, 3, tokens * v, 6 + 16);
  passes('loss over the vocabulary', 'backward', 1, 3, tokens * v, 4 + 12 + 6);
  // Clipping and fused AdamW.
  add('optimizer', 'forward', 1, { kernels: 12, bytes: trained * (12 + 28) });

  const norms = 8 * d;
  const inputs = 2 * (5 * d + q + ff);
  const attention = 2 * (2 * q + 2 * kv);
  const activation = 6 * ff;
  const weights = model.modules.reduce(
    (sum, module) =>
      sum +
      2 *
        (module.kind === 'linear'
          ? model.tied && module.head
            ? 0
            : module.inFeatures * module.outFeatures
          : module.kind === 'embedding'
            ? module.rows * module.width
            : 'width' in module
              ? module.width
              : 0),
    0,
  );
  return {
    costs,
    // At the height: log-probabilities, their gradient and that of the logits, in fp32.
    peakBytes:
      weights + 16 * trained + tokens * (layers * (norms + inputs + attention + activation) + 12 * v),
  };
}
