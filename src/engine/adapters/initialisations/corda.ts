// CorDA (Yang et al., arXiv 2406.05223): A and B start from the SVD of W·C, where C is the covariance of the module's input on
// data, turned back by C⁻¹. `ipm` takes the largest directions (the data is the task), `kpm` the smallest (the data is what
// to preserve). The base keeps the rest, W − s·B0·A0.

import { invariant } from '../../errors';
import { type Matrix, matrix, scaleRows } from '../../linalg/matrix';
import { exactSvd } from '../../linalg/svd';
import { rootedFactors } from './factors';
import type { Initialisation } from './initialisation';
import { kaiming } from './kaiming';

/** Share of the diagonal's mean that is added to it, so that C has an inverse. */
const damping = 0.01;

export const corda: Initialisation = {
  entry: {
    id: 'corda',
    label: 'CorDA: singular directions weighted by the data',
    summary:
      'Looks at the inputs of every module first: ipm trains what the data uses most, kpm what it uses least, so that knowledge in the data stays.',
    fields: [
      {
        key: 'corda_method',
        type: 'enum',
        choices: [
          { id: 'ipm', label: 'The largest directions: the dataset is the task to learn' },
          { id: 'kpm', label: 'The smallest directions: the dataset holds knowledge to preserve' },
        ],
        default: 'ipm',
        group: 'adapter',
        description: 'Which directions train (PEFT: corda_config.corda_method).',
      },
      {
        key: 'calibration_samples',
        type: 'integer',
        minimum: 1,
        maximum: 65536,
        default: 256,
        unit: 'examples',
        group: 'adapter',
        advanced: true,
        description: 'Examples whose inputs are looked at before training.',
      },
    ],
  },
  factors: kaiming.factors,
  fromBase: {
    base: 'residual',
    calibration: 'covariance',
    async start(context) {
      const { products, weight, covariance, site, seed, settings } = context;
      invariant(covariance, 'CorDA is given the covariance');
      const damped = withDamping(covariance);
      const end = settings.settings.corda_method === 'kpm' ? 'bottom' : 'top';
      const svd = await exactSvd(products, await products.multiply(weight, damped), site.r, end, seed);
      // W·C = U·Σ·Vᵀ makes Vᵀ·C⁻¹ = Σ⁻¹·Uᵀ·W, so that C need not be inverted.
      const turned = scaleRows(
        await products.multiply(svd.u, weight, { transA: true }),
        svd.sigma.map((value) => (value > 0 ? 1 / value : 0)),
      );
      return { ...rootedFactors(context, { ...svd, vt: turned }), report: svd.report };
    },
  },
};

/** C + λ·mean(diag C)·I; in fp64 its inverse is exact enough for the first λ, which fp32 sometimes has to double. */
function withDamping(c: Matrix): Matrix {
  const n = c.rows;
  const data = c.data.slice();
  let sum = 0;
  for (let i = 0; i < n; i++) sum += data[i * n + i]!;
  for (let i = 0; i < n; i++) data[i * n + i]! += (damping * sum) / n;
  return matrix(n, n, data);
}
