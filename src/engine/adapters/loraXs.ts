// LoRA-XS (Bałazy et al., arXiv 2405.17604): ΔW = s·(U_rΣ_r)·R·V_rᵀ with the largest r singular directions of the base weight,
// frozen, and a trained square R [r, r]. y = x·W0ᵀ + bias + s·((Drop(x)·V_r)·Rᵀ)·(U_rΣ_r)ᵀ. The directions are computed once,
// at the start of a run (train/start.ts), and stay in the file: their signs are not the weight's to give.
import { AdapterError } from '../errors';
import { scaleColumns } from '../linalg/matrix';
import { exactSvd } from '../linalg/svd';
import { Random } from '../random';
import { loraScaling } from './lora';
import type { PlannedTensor, Variant } from './variant';

const [inner, left, right] = ['lora_xs_R', 'lora_xs_left', 'lora_xs_right'] as const;

export const loraXs: Variant = {
  id: 'lora_xs',
  entry: {
    id: 'lora_xs',
    label: 'LoRA-XS: a tiny square matrix between the directions of the weight',
    summary:
      'Trains r·r numbers per module, whatever its size; wants a higher rank and about ten times the learning rate.',
    fields: [
      {
        key: 'r',
        type: 'integer',
        minimum: 1,
        maximum: 65536,
        default: 32,
        group: 'adapter',
        description:
          'Rank: singular directions of each weight that are used, and the side of R. 16 to 256 is usual.',
      },
      {
        key: 'xs_init_std',
        type: 'number',
        minimum: 0,
        maximum: 1,
        default: 1e-5,
        group: 'adapter',
        advanced: true,
        description: 'Deviation of R’s normal start. At 0 training starts at the base model exactly.',
      },
    ],
    without: ['init_lora_weights'],
  },
  paper: 'https://arxiv.org/abs/2405.17604',
  // Up to R's tiny start.
  traits: { startsAtBase: false, linearInInput: true, additive: true },
  adapts: (module) => module.kind !== 'embedding',

  parameters({ path, r, inFeatures, outFeatures }, settings) {
    if (r > Math.min(inFeatures, outFeatures)) {
      throw new AdapterError({
        code: 'lora-xs-rank',
        message: `${path} is ${inFeatures} wide and ${outFeatures} high, and has no ${r} singular directions.`,
        remedy: `Set r to at most ${Math.min(inFeatures, outFeatures)}, for this module by rank_pattern.`,
      });
    }
    const deviation = Number(settings.settings.xs_init_std ?? 1e-5);
    const fixed = (part: string, rows: number, columns: number): PlannedTensor => ({
      name: `${path}.${part}`,
      shape: [rows, columns],
      group: { learningRateScale: 1, decay: false },
      frozen: true,
      // What `start` gives takes its place; without it no gradient would flow, and the run would say so.
      initial: () => new Float32Array(rows * columns),
    });
    return [
      {
        name: `${path}.${inner}`,
        shape: [r, r],
        group: { learningRateScale: 1, decay: true },
        initial: (random) => {
          const own = new Random(random.next(), path);
          return Float32Array.from({ length: r * r }, () => deviation * own.normal());
        },
      },
      fixed(left, outFeatures, r),
      fixed(right, r, inFeatures),
    ];
  },

  async start({ products, weight, site, seed }) {
    const svd = await exactSvd(products, weight, site.r, 'top', seed);
    return new Map([
      [left, scaleColumns(svd.u, svd.sigma).data],
      [right, svd.vt.data],
    ]);
  },

  apply(c, x, settings) {
    const { b, site } = c;
    const dropped = c.dropout(x);
    const low = b.gemm(dropped.value, c.parameter(right), { transB: true, alpha: dropped.keepScale });
    const turned = b.gemm(low, c.parameter(inner), { transB: true });
    const alpha = loraScaling(site, settings);
    return b.add(c.base(x), b.gemm(turned, c.parameter(left), { transB: true, alpha }));
  },

  /** lora_A = V_rᵀ, lora_B = U_rΣ_r·R; alpha stays that of the run. */
  loraForm(site, tensors, settings) {
    const { r, outFeatures } = site;
    const [directions, turn] = [tensors(left), tensors(inner)];
    const up = new Float32Array(outFeatures * r);
    for (let o = 0; o < outFeatures; o++) {
      for (let j = 0; j < r; j++) {
        let sum = 0;
        for (let k = 0; k < r; k++) sum += directions[o * r + k]! * turn[k * r + j]!;
        up[o * r + j] = sum;
      }
    }
    const s = loraScaling(site, settings);
    return { rank: r, a: tensors(right), b: up.map((value) => s * value), stored: { b: up, alpha: s * r } };
  },
};
