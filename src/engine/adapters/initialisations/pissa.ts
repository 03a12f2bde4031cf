// PiSSA (Meng, Wang and Zhang, arXiv 2404.02948): A and B start as the r largest singular directions of W; the base keeps
// the rest, W − s·B0·A0. `pissa` is exact, `pissa_niter_N` a random range finder with N iterations.
import { exactSvd, randomSvd } from '../../linalg/svd';
import { rootedFactors } from './factors';
import type { Initialisation } from './initialisation';
import { kaiming } from './kaiming';
import { saveForm } from './saveForm';

export const pissa: Initialisation = {
  entry: {
    id: 'pissa',
    label: 'PiSSA: the largest singular directions of the weight',
    summary:
      'Trains what the weight does most, so that the loss falls faster from the first steps; lora_alpha = r is usual.',
    fields: [saveForm],
  },
  factors: kaiming.factors,
  fromBase: {
    base: 'residual',
    repeatable: true,
    async start(context) {
      const svd = await exactSvd(context.products, context.weight, context.site.r, 'top', context.seed);
      return { ...rootedFactors(context, svd), report: svd.report };
    },
  },
};

export const fastPissa: Initialisation = {
  entry: {
    id: 'pissa_niter_4',
    pattern: 'pissa_niter_[0-9]{1,3}',
    label: 'PiSSA by a fast approximate decomposition',
    summary: 'N iterations of a random range finder: 4 to 16 come close to the exact directions in seconds.',
    fields: [],
  },
  factors: kaiming.factors,
  fromBase: {
    base: 'residual',
    async start(context) {
      const iterations = Number(/\d+$/.exec(String(context.settings.init_lora_weights))?.[0] ?? 4);
      const { products, weight, site, seed } = context;
      const svd = await randomSvd(products, weight, site.r, iterations, seed);
      return { ...rootedFactors(context, svd), report: svd.report };
    },
  },
};
