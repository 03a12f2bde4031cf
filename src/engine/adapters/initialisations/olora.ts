// OLoRA (Büyükakyüz, arXiv 2406.01775): thin QR of W [out, in]; B0 = Q[:, :r], A0 = R[:r], without division by s. The base
// keeps W − s·B0·A0. Q's first r columns span those of W, and R[:r] = Q[:, :r]ᵀ·W, so that no more of Q is needed.
import { block, frobenius } from '../../linalg/matrix';
import { orthonormalColumns } from '../../linalg/orthonormal';
import { Random } from '../../random';
import { padded } from './factors';
import type { Initialisation } from './initialisation';
import { kaiming } from './kaiming';
import { saveForm } from './saveForm';

export const olora: Initialisation = {
  entry: {
    id: 'olora',
    label: 'OLoRA: an orthonormal basis of the weight’s first columns',
    summary: 'Starts from a QR decomposition: B orthonormal, cheap to compute.',
    fields: [saveForm],
  },
  factors: kaiming.factors,
  fromBase: {
    base: 'residual',
    repeatable: true,
    async start(context) {
      const started = performance.now();
      const { products, weight, site, seed } = context;
      const rank = Math.min(site.r, weight.rows, weight.columns);
      const { q } = orthonormalColumns(block(weight, 0, weight.rows, 0, rank), new Random(seed, 'qr'));
      const upper = await products.multiply(q, weight, { transA: true });
      const left = Math.max(0, frobenius(weight) ** 2 - frobenius(upper) ** 2);
      return {
        ...padded(context, upper, q),
        report: {
          method: 'dense',
          seconds: (performance.now() - started) / 1000,
          relativeError: Math.sqrt(left) / (frobenius(weight) || 1),
          rounds: 0,
        },
      };
    },
  },
};
