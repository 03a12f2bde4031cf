// PEFT's default (init_lora_weights: true): A Kaiming uniform with a = √5, which is U(−1/√in, 1/√in); B = 0.
import { uniform } from './draws';
import type { Initialisation } from './initialisation';

export const kaiming: Initialisation = {
  entry: {
    id: true,
    label: 'A uniform (Kaiming), B zero',
    summary: "PEFT's default: training starts at the base model.",
    fields: [],
  },
  factors: (random, r, inFeatures, outFeatures) => ({
    a: uniform(random, r * inFeatures, 1 / Math.sqrt(inFeatures)),
    b: new Float32Array(outFeatures * r),
  }),
};
