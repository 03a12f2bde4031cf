// Full fine-tuning: no adapter; every base tensor trains. The reference that the other methods are measured against.
import { adapterKeys } from './settingKeys';
import type { Variant } from './variant';

export const none: Variant = {
  id: 'none',
  entry: {
    id: 'none',
    label: 'Full fine-tuning: every weight trains',
    summary: 'The highest capacity, and about ten times the memory for gradients and optimizer state.',
    fields: [],
    without: [...adapterKeys, 'loraplus_lr_ratio', 'loraplus_lr_embedding'],
  },
  paper: '',
  traits: { startsAtBase: true, linearInInput: true, additive: true },
  adapts: () => false,
  parameters: () => [],
  apply: (c, x) => c.base(x),
};
