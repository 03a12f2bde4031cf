// AdamW whose moments lie in 8-bit blocks (Dettmers et al., arXiv 2110.02861), as bitsandbytes' AdamW8bit: codes for tensors of
// `min_8bit_size` elements and more, fp32 for smaller ones and, as the HF Trainer has it, for embeddings. The step uses the
// fresh moments; then they are stored. Decay comes after the step, as in bitsandbytes.
import type { SettingField } from '../../protocol/settings';
import type { PlannedTensor } from '../adapters/variant';
import type { Slab } from '../compile/slabs';
import { elements } from '../dtype';
import type { Value } from '../graph/graph';
import { adamMove, adamScalars, kept } from './adam';
import { adamw } from './adamw';
import { type Coded, codedSlots, decoded, encoded, padded, unpadded } from './blockwise';
import type { Optimizer, OptimizerSettings, Slot, UpdateContext } from './optimizer';

export const min8BitSize: SettingField = {
  key: 'min_8bit_size',
  type: 'integer',
  minimum: 1,
  default: 4096,
  unit: 'elements',
  group: 'optimization',
  advanced: true,
  description: 'State of fewer elements stays in fp32.',
};

export function in8Bit(count: number, settings: OptimizerSettings): boolean {
  return count >= Number(settings.settings.min_8bit_size ?? 4096);
}

/** Slots of both moments in codes, with `counts` values for each entry. */
export const codedMoments = (counts: readonly number[]): Slot[] => [
  ...codedSlots('m', counts),
  ...codedSlots('v', counts),
];

/** Adam on coded moments: `gradient` is filled up to whole blocks, and so is what comes back. */
export function codedMove(
  context: UpdateContext,
  gradient: Value,
): { move: Value; slots: Record<string, Value> } {
  const { b, slots } = context;
  const coded = (name: string): Coded => ({
    codes: slots[`${name}_codes`]!,
    absmax: slots[`${name}_absmax`]!,
  });
  const old = { m: decoded(b, coded('m'), true), v: decoded(b, coded('v'), false) };
  const { m, v, move } = adamMove(context, old, gradient);
  const [first, second] = [encoded(b, m, true), encoded(b, v, false)];
  return {
    move,
    slots: { m_codes: first.codes, m_absmax: first.absmax, v_codes: second.codes, v_absmax: second.absmax },
  };
}

export const adamw8bit: Optimizer = {
  id: 'adamw_8bit',
  entry: {
    id: 'adamw_8bit',
    pattern: 'adamw_8bit|adamw_bnb_8bit',
    label: 'AdamW with its state in 8 bits',
    summary: "A quarter of AdamW's state, for a little rounding; as bitsandbytes keeps it.",
    fields: [min8BitSize],
  },
  divisible: true,
  layout: ({ shape, module }: PlannedTensor, settings) => ({
    kind: in8Bit(elements(shape), settings) && module?.kind !== 'embedding' ? '8bit' : '32bit',
  }),
  slots: (slab: Slab, settings) =>
    slab.kind === '8bit' ? codedMoments(slab.entries.map(({ count }) => count)) : adamw.slots(slab, settings),
  scalars: adamScalars,
  update(context) {
    const { b, slab, parameter, gradient, slots: old } = context;
    const counts = slab.entries.map(({ count }) => count);
    const eight = slab.kind === '8bit';
    const { move, slots } = eight
      ? codedMove(context, padded(b, gradient, counts))
      : plainMove(context, { m: old.m!, v: old.v! });
    const moved = b.sub(parameter, eight ? unpadded(b, move, counts) : move);
    const factor = kept(context);
    return { parameter: factor ? b.mul(moved, factor) : moved, slots };
  },
};

function plainMove(context: UpdateContext, old: { m: Value; v: Value }) {
  const { move, ...slots } = adamMove(context, old, context.gradient);
  return { move, slots: slots as Record<string, Value> };
}
