// init_lora_weights: gaussian. A ~ N(0, 1/r²), B = 0.
import { normal } from './draws';
import type { Initialisation } from './initialisation';

export const gaussian: Initialisation = {
  entry: {
    id: 'gaussian',
    label: 'A normal with deviation 1/r, B zero',
    summary: 'Training starts at the base model.',
    fields: [],
  },
  factors: (random, r, inFeatures, outFeatures) => ({
    a: normal(random, r * inFeatures, 1 / r),
    b: new Float32Array(outFeatures * r),
  }),
};
