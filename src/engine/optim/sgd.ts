// Stochastic gradient descent as torch.optim.SGD: g ← g + λ·p; u ← μ·u + g; p ← p − η·u, with Nesterov's form p ← p − η·(g + μ·u).
import type { Value } from '../graph/graph';
import { type Optimizer, type OptimizerSettings, perElement } from './optimizer';

const momentumOf = (settings: OptimizerSettings): number => Number(settings.settings.momentum ?? 0);

export const sgd: Optimizer = {
  id: 'sgd',
  entry: {
    id: 'sgd',
    label: 'SGD: no state, or one number with momentum',
    summary: 'The least memory; wants a far higher learning rate than AdamW and more patience.',
    fields: [
      {
        key: 'momentum',
        type: 'number',
        minimum: 0,
        exclusiveMaximum: 1,
        default: 0,
        group: 'optimization',
        description: 'How much of the last step goes on; usually 0 or 0.9.',
      },
      {
        key: 'nesterov',
        type: 'boolean',
        default: false,
        group: 'optimization',
        advanced: true,
        description: "Nesterov's form of momentum.",
      },
    ],
    without: ['adam_beta1', 'adam_beta2', 'adam_epsilon'],
    check: ({ settings }) =>
      settings.nesterov === true && Number(settings.momentum) === 0
        ? [
            {
              where: 'nesterov',
              message: 'nesterov has no effect without momentum.',
              remedy: 'Add momentum: 0.9, or remove nesterov.',
            },
          ]
        : [],
  },
  divisible: true,
  slots: (slab, settings) => (momentumOf(settings) > 0 ? perElement(slab, 'u') : []),
  scalars: (_, _step, learningRate): Record<string, number> => ({ learning_rate: learningRate }),
  update({ b, slab, parameter, gradient, slots, settings, scalar }) {
    const decays = slab.group.decay && settings.weight_decay !== 0;
    const g = decays ? b.add(gradient, b.scale(parameter, settings.weight_decay)) : gradient;
    const rate = b.scale(scalar('learning_rate'), slab.group.learningRateScale);
    const momentum = momentumOf(settings);
    const old = slots.u;
    if (!old) return { parameter: b.sub(parameter, b.mul(g, rate)), slots: {} as Record<string, Value> };
    const u = b.add(b.scale(old, momentum), g);
    const direction = settings.settings.nesterov === true ? b.add(g, b.scale(u, momentum)) : u;
    return { parameter: b.sub(parameter, b.mul(direction, rate)), slots: { u } as Record<string, Value> };
  },
};
