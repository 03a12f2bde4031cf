// init_lora_weights: false. A as by default, B ~ U(−1/√r, 1/√r): the model does not start at the base model.
import { uniform } from './draws';
import type { Initialisation } from './initialisation';

export const off: Initialisation = {
  entry: {
    id: false,
    label: 'A and B uniform',
    summary: 'For tests: the model does not start at the base model.',
    fields: [],
  },
  factors: (random, r, inFeatures, outFeatures) => ({
    a: uniform(random, r * inFeatures, 1 / Math.sqrt(inFeatures)),
    b: uniform(random, outFeatures * r, 1 / Math.sqrt(r)),
  }),
};
