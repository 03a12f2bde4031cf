// DoRA (Liu et al., arXiv 2402.09353): magnitude and direction of a weight, the direction moved by LoRA.
// V = W0 + s·BA, c_o = ‖V[o,:]‖₂ (no gradient), k = m/c: y = k ⊙ (x·Vᵀ) + bias. m [out] starts at ‖W0 + s·BA‖ by row.
// c² = ‖W0‖² + 2s·rowsum((W0·Aᵀ)⊙B) + s²·rowsum((B·AAᵀ)⊙B), so V is never formed. For an embedding W0 = Eᵀ.
import type { Value } from '../graph/graph';
import { lora, loraScaling } from './lora';
import { plainStart } from './plainStart';
import type { SiteContext, Variant } from './variant';

const none: Record<string, never> = {};

export const dora: Variant = {
  id: 'dora',
  entry: {
    id: 'dora',
    label: 'DoRA: LoRA for the direction, a trained magnitude for every output',
    summary: 'Closer to full fine-tuning at low ranks, for more time per step; merges without a trace.',
    fields: [],
    check: ({ init_lora_weights: init }) => plainStart('dora', init, true),
  },
  paper: 'https://arxiv.org/abs/2402.09353',
  traits: {
    startsAtBase: true,
    linearInInput: true,
    additive: false,
    detached: /\.lora_(embedding_)?[AB]\b/,
  },
  adapts: lora.adapts,

  parameters(site, settings) {
    const factors = lora.parameters(site, settings);
    const { path, outFeatures, inFeatures, module, r } = site;
    const stored = module.kind === 'linear';
    return [
      ...factors,
      {
        name: `${path}.lora_magnitude_vector`,
        shape: [outFeatures],
        group: { learningRateScale: 1, decay: true },
        initial: async (random, base) => {
          const weight = await base(module.weight);
          // The same numbers as the factors' own start: they come from one draw.
          const [a, b] = await Promise.all(factors.map((factor) => factor.initial(random, base)));
          const scale = loraScaling(site, settings);
          // Where BA is zero its rounding must not show.
          const zero = a!.every((value) => value === 0) || b!.every((value) => value === 0);
          return Float32Array.from({ length: outFeatures }, (_, o) => {
            let square = 0;
            for (let i = 0; i < inFeatures; i++) {
              let value = stored ? weight[o * inFeatures + i]! : weight[i * outFeatures + o]!;
              if (!zero) {
                for (let k = 0; k < r; k++) value += scale * b![o * r + k]! * a![k * inFeatures + i]!;
              }
              square += value * value;
            }
            return Math.sqrt(square);
          });
        },
      },
    ];
  },

  apply(c, x, settings) {
    const { b, site } = c;
    const scale = loraScaling(site, settings);
    const embedding = site.module.kind === 'embedding';
    const k = b.div(c.parameter('lora_magnitude_vector'), b.op('StopGradient', [rowNorm(c, scale)], none));
    if (embedding) {
      const rows = b.op('Gather', [c.parameter('lora_embedding_A'), x], { axis: 0 });
      const update = b.gemm(rows, c.parameter('lora_embedding_B'), { transB: true, alpha: scale });
      return b.mul(b.add(c.base(x), update), k);
    }
    const dropped = c.dropout(x);
    const low = b.gemm(dropped.value, c.parameter('lora_A.weight'), {
      transB: true,
      alpha: dropped.keepScale,
    });
    const update = b.gemm(low, c.parameter('lora_B.weight'), { transB: true, alpha: scale });
    if (dropped.value === x) {
      const turned = b.mul(b.add(c.product(x), update), k);
      const bias = c.bias();
      return bias ? b.add(turned, bias) : turned;
    }
    // With dropout PEFT keeps x for the base and takes Drop(x) for what the magnitude changes.
    const changed = b.scale(c.product(dropped.value), dropped.keepScale);
    const shift = b.mul(changed, b.sub(k, b.scalar(1)));
    return b.add(c.base(x), b.add(shift, b.mul(update, k)));
  },

  mergedWeight({ b, site, weight, parameter }, settings) {
    const embedding = site.module.kind === 'embedding';
    const a = parameter(embedding ? 'lora_embedding_A' : 'lora_A.weight');
    const up = parameter(embedding ? 'lora_embedding_B' : 'lora_B.weight');
    const moved = b.add(weight, b.gemm(up, a, { alpha: loraScaling(site, settings) }));
    const norm = b.op('Sqrt', [b.op('ReduceSumSquare', [moved], { axes: [1], keepdims: 1 })], none);
    const magnitude = b.reshape(parameter('lora_magnitude_vector'), [site.outFeatures, 1]);
    return b.mul(moved, b.div(magnitude, norm));
  },

  peft: {
    type: 'LORA',
    read: (config) => (config.peft_type === 'LORA' && config.use_dora ? {} : undefined),
    write: () => ({ use_dora: true }),
  },
};

/** ‖W0 + s·BA‖ by row, [out]; W0 lies as the checkpoint has it, an embedding's A as [rows, r]. */
function rowNorm(c: SiteContext, scale: number): Value {
  const { b, site } = c;
  const embedding = site.module.kind === 'embedding';
  const [a, up] = embedding
    ? [c.parameter('lora_embedding_A'), c.parameter('lora_embedding_B')]
    : [c.parameter('lora_A.weight'), c.parameter('lora_B.weight')];
  const turned = site.module.kind !== 'linear';
  const weight = c.weight();
  const own = b.op('ReduceSumSquare', [weight], { axes: [turned ? 0 : 1], keepdims: 0 });
  const crossed = b.gemm(weight, a, { transA: turned, transB: !embedding });
  const gram = b.gemm(a, a, { transA: embedding, transB: !embedding });
  const rows = (v: Value, factor: number): Value => b.scale(b.sum(v, [1], 0), factor);
  const square = b.add(
    b.add(own, rows(b.mul(crossed, up), 2 * scale)),
    rows(b.mul(b.gemm(up, gram), up), scale * scale),
  );
  return b.op('Sqrt', [square], none);
}
