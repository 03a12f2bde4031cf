// The common recipe keys that shape an adapter: what full fine-tuning refuses and what native adapter files hold.
import type { AdapterSettings } from './settings';

export const adapterKeys = [
  'init_lora_weights',
  'r',
  'lora_alpha',
  'lora_dropout',
  'use_rslora',
  'bias',
  'target_modules',
  'exclude_modules',
  'rank_pattern',
  'alpha_pattern',
  'layers_to_transform',
  'layers_pattern',
  'modules_to_save',
] as const satisfies readonly (keyof AdapterSettings)[];
