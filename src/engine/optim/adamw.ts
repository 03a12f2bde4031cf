// AdamW (Loshchilov & Hutter, arXiv 1711.05101) in PyTorch's order of operations: p ← p·(1 − η·λ), then Adam's step.
import { adamMove, adamScalars, kept } from './adam';
import { type Optimizer, perElement } from './optimizer';

export const adamw: Optimizer = {
  id: 'adamw',
  entry: {
    id: 'adamw',
    // The HF Trainer's names.
    pattern: 'adamw|adamw_(torch|torch_fused|hf|apex_fused)',
    label: 'AdamW: two numbers of state per trained parameter',
    summary: 'Adam with decoupled weight decay and bias correction.',
    fields: [],
  },
  divisible: true,
  slots: (slab) => perElement(slab, 'm', 'v'),
  scalars: adamScalars,
  update(context) {
    const { b, parameter, gradient, slots } = context;
    const { m, v, move } = adamMove(context, { m: slots.m!, v: slots.v! }, gradient);
    const factor = kept(context);
    return { parameter: b.sub(factor ? b.mul(parameter, factor) : parameter, move), slots: { m, v } };
  },
};
