// PiSSA (Meng, Wang and Zhang, arXiv 2404.02948): A and B start as the r largest singular directions of W; the base keeps
// the rest, W − s·B0·A0. `pissa` is exact, `pissa_niter_N` a random range finder with N iterations.
import type { SettingField } from '../../../protocol/settings';
import { type Matrix, matrix } from '../../linalg/matrix';
import { exactSvd, randomSvd, type TruncatedSvd } from '../../linalg/svd';
import { packWeight, unpackWeight } from '../../quantization/packedWeight';
import { rootedFactors } from './factors';
import type { Initialisation, SiteStart, StartContext } from './initialisation';
import { kaiming } from './kaiming';
import { saveForm } from './saveForm';

const turns: SettingField = {
  key: 'pissa_quant_iter',
  type: 'integer',
  minimum: 1,
  maximum: 100,
  default: 5,
  group: 'adapter',
  advanced: true,
  description: 'With load_in_4bit: turns of decomposing the weight and quantising what is left (QPiSSA).',
};

export const pissa: Initialisation = {
  entry: {
    id: 'pissa',
    label: 'PiSSA: the largest singular directions of the weight',
    summary:
      'Trains what the weight does most, so that the loss falls faster from the first steps; lora_alpha = r is usual.',
    fields: [saveForm, turns],
  },
  factors: kaiming.factors,
  fromBase: {
    base: 'residual',
    repeatable: true,
    start: (context) =>
      alternated(context, (weight) =>
        exactSvd(context.products, weight, context.site.r, 'top', context.seed),
      ),
  },
};

export const fastPissa: Initialisation = {
  entry: {
    id: 'pissa_niter_4',
    pattern: 'pissa_niter_[0-9]{1,3}',
    label: 'PiSSA by a fast approximate decomposition',
    summary: 'N iterations of a random range finder: 4 to 16 come close to the exact directions in seconds.',
    fields: [turns],
  },
  factors: kaiming.factors,
  fromBase: {
    base: 'residual',
    start(context) {
      const iterations = Number(/\d+$/.exec(String(context.settings.init_lora_weights))?.[0] ?? 4);
      const { products, site, seed } = context;
      return alternated(context, (weight) => randomSvd(products, weight, site.r, iterations, seed));
    },
  },
};

/**
 * The factors of the weight's largest directions. Where the base lies in four bits, in turns with its quantisation (QPiSSA):
 * LR = SVD_r(W), then LR = SVD_r(W − deq(quant(W − LR))), so that the factors make up for what quantising W − LR loses.
 */
async function alternated(
  context: StartContext,
  decompose: (weight: Matrix) => Promise<TruncatedSvd>,
): Promise<SiteStart> {
  const { products, weight, packed, settings } = context;
  const count = packed ? Number(settings.settings.pissa_quant_iter ?? 5) : 1;
  const without = (values: Float32Array): Matrix =>
    matrix(
      weight.rows,
      weight.columns,
      weight.data.map((w, i) => w - values[i]!),
    );
  let svd = await decompose(weight);
  for (let turn = 1; packed && turn < count; turn++) {
    const scaled = { ...svd.u, data: svd.u.data.map((u, i) => u * svd.sigma[i % svd.u.columns]!) };
    const rest = without((await products.multiply(scaled, svd.vt)).data);
    svd = await decompose(without(unpackWeight(packWeight(rest.data, packed))));
  }
  return { ...rootedFactors(context, svd), report: svd.report };
}
