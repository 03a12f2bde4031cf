// LoftQ (Li et al., arXiv 2310.08659): the base becomes Q, its NF4 values, and A and B start as the best rank-r correction of
// W − Q, in turns: Q = quant(W − BA), BA = SVD_r(W − Q). s is not compensated, so that it is exact for lora_alpha = r alone.
import { isJsonObject } from '../../files/json';
import { matrix } from '../../linalg/matrix';
import { exactSvd } from '../../linalg/svd';
import { type PackedForm, packWeight, unpackWeight, usualFormat } from '../../quantization/packedWeight';
import { padded } from './factors';
import type { Initialisation } from './initialisation';
import { kaiming } from './kaiming';

/**
 * The bits that a base has here. PEFT's other choice, 8, trains on a whole copy of the values of int8 rows, which saves no
 * memory and can be held by no packed form.
 */
export const loftqBits = 4;

export const loftq: Initialisation = {
  entry: {
    id: 'loftq',
    label: 'LoftQ: a correction of the 4-bit base',
    summary:
      'Trains on the NF4 values of the adapted weights, from a start that makes up for much of their error; use lora_alpha = r.',
    fields: [
      {
        key: 'loftq_iter',
        type: 'integer',
        minimum: 1,
        maximum: 100,
        default: 1,
        group: 'adapter',
        description: 'Turns of quantising and correcting (PEFT: loftq_config.loftq_iter).',
      },
      {
        key: 'loftq_bits',
        type: 'integer',
        minimum: 1,
        maximum: 8,
        default: loftqBits,
        group: 'adapter',
        advanced: true,
        description: 'Bits of the quantised base: 4 (PEFT: loftq_config.loftq_bits).',
      },
    ],
    check: ({ settings }) =>
      settings.loftq_bits === undefined || settings.loftq_bits === null || settings.loftq_bits === loftqBits
        ? []
        : [
            {
              where: 'loftq_bits',
              message: `loftq_bits: ${settings.loftq_bits} is not supported: the base is quantised to ${loftqBits} bits (NF4).`,
              remedy: `Set loftq_bits: ${loftqBits}, or remove it.`,
            },
          ],
  },
  factors: kaiming.factors,
  peft: {
    write: (settings) => ({ loftq_config: { loftq_bits: loftqBits, loftq_iter: settings.loftq_iter ?? 1 } }),
    read: ({ loftq_config: own }) => {
      const turns = isJsonObject(own) ? own.loftq_iter : undefined;
      return {
        loftq_iter: Number.isSafeInteger(turns) && Number(turns) > 0 ? Math.min(100, Number(turns)) : 1,
      };
    },
  },
  fromBase: {
    base: 'replaced',
    async start(context) {
      const { products, weight, site, seed, settings } = context;
      const form: PackedForm = context.packed ?? {
        ...usualFormat,
        outFeatures: weight.rows,
        inFeatures: weight.columns,
        transposed: site.module.kind === 'conv1d',
      };
      const iterations = Number(settings.settings.loftq_iter ?? 1);
      let remaining = weight;
      for (let turn = 1; ; turn++) {
        const packed = packWeight(remaining.data, form);
        const quantised = unpackWeight(packed);
        const error = matrix(
          weight.rows,
          weight.columns,
          weight.data.map((w, i) => w - quantised[i]!),
        );
        const svd = await exactSvd(products, error, site.r, 'top', seed);
        const roots = svd.sigma.map(Math.sqrt);
        const b = matrix(
          svd.u.rows,
          svd.u.columns,
          svd.u.data.map((x, i) => x * roots[i % svd.u.columns]!),
        );
        const a = matrix(
          svd.vt.rows,
          svd.vt.columns,
          svd.vt.data.map((x, i) => x * roots[Math.floor(i / svd.vt.columns)]!),
        );
        if (turn === iterations) {
          return { ...padded(context, a, b), packed, report: svd.report };
        }
        const correction = await products.multiply(b, a);
        remaining = matrix(
          weight.rows,
          weight.columns,
          weight.data.map((w, i) => w - correction.data[i]!),
        );
      }
    },
  },
};
