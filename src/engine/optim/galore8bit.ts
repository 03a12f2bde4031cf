// GaLore whose moments lie in 8-bit blocks, as in adamw8bit.ts; projections stay in fp32. Fewer than `min_8bit_size` elements of
// a projected gradient keep fp32 moments.
import { adamScalars } from './adam';
import { adamw8bit, codedMoments, codedMove, in8Bit, min8BitSize } from './adamw8bit';
import { padded, unpadded } from './blockwise';
import {
  checkGalore,
  checkRanks,
  galore,
  moved,
  project,
  projectionOf,
  projectionSlots,
  refresh,
} from './galore';
import { galoreFields, isProjected } from './galoreSettings';
import type { Optimizer } from './optimizer';

export const galore8bit: Optimizer = {
  id: 'galore_adamw_8bit',
  entry: {
    id: 'galore_adamw_8bit',
    label: 'GaLore with its state in 8 bits',
    summary: 'Trains every weight with the least optimizer state; a little rounding in the moments.',
    fields: [...galoreFields, min8BitSize],
    check: checkGalore,
  },
  layout: (tensor, settings) =>
    isProjected(tensor, settings) ? { kind: 'projected', alone: true } : adamw8bit.layout!(tensor, settings),
  check: checkRanks,
  slots(slab, settings) {
    if (slab.kind !== 'projected') return adamw8bit.slots(slab, settings);
    const p = projectionOf(slab, settings);
    return in8Bit(p.count, settings)
      ? [...projectionSlots(p), ...codedMoments([p.count])]
      : galore.slots(slab, settings);
  },
  scalars: adamScalars,
  prepare: (run) => refresh(run, ({ kind }) => kind === 'projected'),
  update(context) {
    const { b, slab, settings } = context;
    if (slab.kind !== 'projected') return adamw8bit.update(context);
    const p = projectionOf(slab, settings);
    if (!in8Bit(p.count, settings)) return galore.update(context);
    const { move, slots } = codedMove(context, padded(b, project(context, p), [p.count]));
    return { parameter: moved(context, p, unpadded(b, move, [p.count])), slots };
  },
};
