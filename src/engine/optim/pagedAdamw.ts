// The paged forms of AdamW: the same numbers, with the state of large slabs in host memory (execution/paging decides how it
// gets to the device).
import type { SettingField } from '../../protocol/settings';
import { adamw } from './adamw';
import { adamw8bit } from './adamw8bit';
import type { Optimizer } from './optimizer';

const spill: SettingField = {
  key: 'spill_optimizer_state',
  type: 'boolean',
  default: false,
  group: 'memory',
  advanced: true,
  description:
    "On the CPU, keeps the state in a file in the run's folder, which the system moves in and out of memory. Elsewhere it lies in host memory.",
};

function paged(of: Optimizer, id: string, pattern: string, label: string): Optimizer {
  return {
    ...of,
    id,
    paged: true,
    entry: {
      id,
      pattern,
      label,
      summary:
        'The same numbers, with the state in host memory: a GPU holds only a window of it. On the CPU it saves memory with spill_optimizer_state alone.',
      fields: [...of.entry.fields, spill],
    },
  };
}

export const pagedAdamw32bit = paged(
  adamw,
  'paged_adamw_32bit',
  'paged_adamw(_32bit)?',
  'AdamW with its state in host memory',
);
export const pagedAdamw8bit = paged(
  adamw8bit,
  'paged_adamw_8bit',
  'paged_adamw_8bit',
  'AdamW with its state in 8 bits in host memory',
);
