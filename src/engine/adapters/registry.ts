// The adapter methods of this version. A new one is a file here and a line below.
import { adalora } from './adalora';
import { amLora } from './amLora';
import { deltaLora } from './deltaLora';
import { dora } from './dora';
import { intrinsic } from './intrinsic';
import { lora } from './lora';
import { loraDrop } from './loraDrop';
import { loraFa } from './loraFa';
import { loraXs } from './loraXs';
import { mora } from './mora';
import { none } from './none';
import { oLora } from './oLora';
import { relora } from './relora';
import type { Variant } from './variant';
import { vera } from './vera';

export const variants: readonly Variant[] = [
  lora,
  dora,
  loraFa,
  loraDrop,
  loraXs,
  vera,
  adalora,
  mora,
  deltaLora,
  relora,
  oLora,
  amLora,
  intrinsic,
  none,
];

export function variantOf(id: string): Variant {
  const variant = variants.find((v) => v.id === id);
  if (!variant)
    throw new Error(`There is no adapter method ${id}; recipes are validated against the catalogue before.`);
  return variant;
}
