// MiLoRA (Wang et al., arXiv 2406.09044): A and B start as the r smallest singular directions of W, so that training leaves
// alone what the weight does most. The base keeps the rest, W − s·B0·A0. Not in PEFT: saved as a LoRA of the original base.
import { exactSvd } from '../../linalg/svd';
import { rootedFactors } from './factors';
import type { Initialisation } from './initialisation';
import { kaiming } from './kaiming';

export const milora: Initialisation = {
  entry: {
    id: 'milora',
    label: 'MiLoRA: the smallest singular directions of the weight',
    summary: 'Learns in what the model uses least, so that it forgets less; lora_alpha = r is usual.',
    fields: [],
  },
  factors: kaiming.factors,
  fromBase: {
    base: 'residual',
    async start(context) {
      const svd = await exactSvd(context.products, context.weight, context.site.r, 'bottom', context.seed);
      return { ...rootedFactors(context, svd), report: svd.report };
    },
  },
};
