// What all forms of Adam share: m ← β1·m + (1−β1)·g; v ← β2·v + (1−β2)·g²; move = η/(1−β1ᵗ) · m / (√v/√(1−β2ᵗ) + ε), in
// PyTorch's order of operations. Shapes are the caller's.
import type { Value } from '../graph/graph';
import type { OptimizerSettings, UpdateContext } from './optimizer';

export function adamScalars(
  settings: OptimizerSettings,
  step: number,
  learningRate: number,
): Record<string, number> {
  return {
    step_size: learningRate / (1 - settings.adam_beta1 ** step),
    root_correction: 1 / Math.sqrt(1 - settings.adam_beta2 ** step),
    decay: learningRate * settings.weight_decay,
  };
}

/** The new moments and what to take off the parameter; `m`, `v` and `gradient` of one shape. */
export function adamMove(
  { b, slab, settings, scalar }: UpdateContext,
  old: { m: Value; v: Value },
  gradient: Value,
): { m: Value; v: Value; move: Value } {
  const [beta1, beta2] = [settings.adam_beta1, settings.adam_beta2];
  const m = b.add(b.scale(old.m, beta1), b.scale(gradient, 1 - beta1));
  const v = b.add(b.scale(old.v, beta2), b.mul(gradient, b.scale(gradient, 1 - beta2)));
  const root = b.mul(b.op('Sqrt', [v], {}), scalar('root_correction'));
  const move = b.mul(
    b.div(m, b.add(root, b.scalar(settings.adam_epsilon))),
    b.scale(scalar('step_size'), slab.group.learningRateScale),
  );
  return { m, v, move };
}

/** 1 − η·λ; undefined where the slab is spared. */
export function kept({ b, slab, settings, scalar }: UpdateContext): Value | undefined {
  if (!slab.group.decay || settings.weight_decay === 0) return undefined;
  return b.sub(b.scalar(1), b.scale(scalar('decay'), slab.group.learningRateScale));
}
