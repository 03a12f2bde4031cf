// The setting that says in which form a run that changed its base is saved.
import type { SettingField } from '../../../protocol/settings';

export const saveForm: SettingField = {
  key: 'convert_to_lora',
  type: 'boolean',
  default: true,
  advanced: true,
  group: 'adapter',
  description:
    'Saves a plain LoRA of twice the rank for the unchanged base. Off, the file is half as large, and PEFT decomposes the weights again whenever it loads it.',
};
