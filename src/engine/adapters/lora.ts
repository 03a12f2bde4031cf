// LoRA (Hu et al., arXiv 2106.09685) with rsLoRA's scaling (Kalajdzievski, arXiv 2312.03732).
// y = x·W0ᵀ + bias + s·(Drop(x)·Aᵀ)·Bᵀ with s = alpha/r, for rsLoRA alpha/√r. A [r, in], B [out, r].
// Embedding: e = E[id] + s·(A_e[:, id])ᵀ·B_eᵀ with A_e [r, vocabulary], B_e [width, r]; no dropout.

import { Random } from '../random';
import { initialisationOf } from './initialisation';
import type { AdapterSettings } from './settings';
import type { PlannedTensor, Site, Variant } from './variant';

export const lora: Variant = {
  id: 'lora',
  entry: {
    id: 'lora',
    label: 'LoRA: two small matrices beside every adapted weight',
    summary:
      'Trains about 1 % of the parameters, close to full fine-tuning for most tasks; merges without a trace.',
    fields: [
      {
        key: 'lora_bias',
        type: 'boolean',
        default: false,
        advanced: true,
        group: 'adapter',
        description:
          'Adds a trained bias to B (PEFT: lora_bias). Merging then needs a module that has a bias.',
      },
    ],
    check: ({ settings, init_lora_weights: init }) =>
      settings.lora_bias === true && typeof init !== 'boolean'
        ? [
            {
              where: 'lora_bias',
              message: `lora_bias needs init_lora_weights true or false, found ${init}.`,
              remedy: 'Set init_lora_weights: true, or lora_bias: false.',
            },
          ]
        : [],
  },
  paper: 'https://arxiv.org/abs/2106.09685',
  traits: { startsAtBase: true, linearInInput: true, additive: true },
  adapts: () => true,

  parameters(site, settings) {
    const group = { learningRateScale: 1, decay: true };
    const { r, inFeatures, outFeatures, path } = site;
    if (site.module.kind === 'embedding') {
      // A_e = 0 and B_e ~ N(0, 1). A_e lies as [vocabulary, r] on the device, so that a token is one row.
      return [
        {
          name: `${path}.lora_embedding_A`,
          shape: [r, inFeatures],
          transposed: true,
          group,
          initial: () => new Float32Array(r * inFeatures),
        },
        {
          name: `${path}.lora_embedding_B`,
          shape: [outFeatures, r],
          group,
          outputSide: true,
          // Every run's stream starts alike for all tensors; the path keeps two embeddings apart.
          initial: (random) => {
            const own = new Random(random.next(), path);
            return Float32Array.from({ length: outFeatures * r }, () => own.normal());
          },
        },
      ];
    }
    // Both factors come from one draw, repeated for each: the same seed gives the same pair whatever is asked first.
    const factors = (random: Random) =>
      initialisationOf(settings.init_lora_weights).factors(
        new Random(random.next(), path),
        r,
        inFeatures,
        outFeatures,
      );
    return [
      {
        name: `${path}.lora_A.weight`,
        shape: [r, inFeatures],
        group,
        initial: (random) => factors(random).a,
      },
      {
        name: `${path}.lora_B.weight`,
        shape: [outFeatures, r],
        group,
        outputSide: true,
        initial: (random) => factors(random).b,
      },
      ...(settings.settings.lora_bias === true
        ? [
            {
              name: `${path}.lora_B.bias`,
              shape: [outFeatures],
              group,
              initial: () => new Float32Array(outFeatures),
            },
          ]
        : []),
    ] satisfies PlannedTensor[];
  },

  apply(c, x, settings) {
    const { b, site } = c;
    const alpha = loraScaling(site, settings);
    if (site.module.kind === 'embedding') {
      const rows = b.op('Gather', [c.parameter('lora_embedding_A'), x], { axis: 0 });
      return b.add(c.base(x), b.gemm(rows, c.parameter('lora_embedding_B'), { transB: true, alpha }));
    }
    const base = c.base(x);
    const dropped = c.dropout(x);
    const low = b.gemm(dropped.value, c.parameter('lora_A.weight'), {
      transB: true,
      alpha: dropped.keepScale,
    });
    // With lora_bias the product is s·(low·Bᵀ + bias).
    const bias =
      settings.settings.lora_bias === true ? b.scale(c.parameter('lora_B.bias'), alpha) : undefined;
    return b.add(base, b.gemm(low, c.parameter('lora_B.weight'), { transB: true, alpha, c: bias }));
  },

  loraForm(site, tensors, settings) {
    const embedding = site.module.kind === 'embedding';
    const a = tensors(embedding ? 'lora_embedding_A' : 'lora_A.weight');
    const scale = loraScaling(site, settings);
    const scaled = (values: Float32Array): Float32Array => values.map((value) => value * scale);
    const up = tensors(embedding ? 'lora_embedding_B' : 'lora_B.weight');
    const biased = settings.settings.lora_bias === true && !embedding;
    const stored = { b: up, alpha: scale * site.r };
    return {
      rank: site.r,
      a,
      b: scaled(up),
      // A bias of B is scaled too, and has no unscaled place beside it.
      ...(biased ? { bias: scaled(tensors('lora_B.bias')) } : { stored }),
    };
  },

  peft: {
    type: 'LORA',
    read: (config) =>
      config.peft_type === 'LORA' && !config.use_dora
        ? { settings: { lora_bias: config.lora_bias } }
        : undefined,
    write: (settings) => ({ lora_bias: settings.settings.lora_bias === true }),
  },
};

/** s of one module: alpha/r, or alpha/√r with rsLoRA. */
export function loraScaling(
  site: Pick<Site, 'r' | 'alpha'>,
  settings: Pick<AdapterSettings, 'use_rslora'>,
): number {
  return site.alpha / (settings.use_rslora ? Math.sqrt(site.r) : site.r);
}
