// AdamW (Loshchilov & Hutter, arXiv 1711.05101) in PyTorch's order of operations:
// p ← p·(1 − η·λ); m ← β1·m + (1−β1)·g; v ← β2·v + (1−β2)·g²; p ← p − η/(1−β1ᵗ) · m / (√v/√(1−β2ᵗ) + ε).
import type { Optimizer } from './optimizer';

export const adamw: Optimizer = {
  id: 'adamw',
  entry: {
    id: 'adamw',
    label: 'AdamW: two numbers of state per trained parameter',
    summary: 'Adam with decoupled weight decay and bias correction.',
    fields: [],
  },
  slots: ['m', 'v'],
  scalars: (settings, step, learningRate) => ({
    step_size: learningRate / (1 - settings.adam_beta1 ** step),
    root_correction: 1 / Math.sqrt(1 - settings.adam_beta2 ** step),
    decay: learningRate * settings.weight_decay,
  }),
  update({ b, parameter, gradient, slots, group, settings, scalar }) {
    const [beta1, beta2] = [settings.adam_beta1, settings.adam_beta2];
    const m = b.add(b.scale(slots.m!, beta1), b.scale(gradient, 1 - beta1));
    const v = b.add(b.scale(slots.v!, beta2), b.mul(gradient, b.scale(gradient, 1 - beta2)));
    const root = b.mul(b.op('Sqrt', [v], {}), scalar('root_correction'));
    const rate = group.learningRateScale;
    const move = b.mul(
      b.div(m, b.add(root, b.scalar(settings.adam_epsilon))),
      b.scale(scalar('step_size'), rate),
    );
    const decays = group.decay && settings.weight_decay !== 0;
    const kept = decays ? b.mul(parameter, b.sub(b.scalar(1), b.scale(scalar('decay'), rate))) : parameter;
    return { parameter: b.sub(kept, move), slots: { m, v } };
  },
};
