// LoRA-FA (Zhang et al., arXiv 2308.03303): LoRA whose A stays as it was drawn; only B trains. ∂B = s·δᵀ(xAᵀ) needs the narrow
// product alone, so the input x of an adapted layer is not kept for the backward pass.
//
// `projected` is the form of PEFT's create_lorafa_optimizer: ĝ_B = s⁻²·∂B·(AAᵀ + 1e-8·I)⁻¹, the B whose update s·ĝ_B·A comes
// closest to the full gradient. A never changes, so the inverse is made once.
import { lora, loraScaling } from './lora';
import { plainStart } from './plainStart';
import type { Variant } from './variant';

export const loraFa: Variant = {
  ...lora,
  id: 'lora_fa',
  entry: {
    id: 'lora_fa',
    label: 'LoRA-FA: LoRA with A frozen',
    summary:
      'Keeps only r numbers per token and layer for the backward pass, for half of the trained parameters of LoRA.',
    fields: [
      {
        key: 'lorafa_gradient',
        type: 'enum',
        choices: [
          { id: 'plain', label: 'The gradient of B, as in the paper' },
          { id: 'projected', label: "Corrected by (AAᵀ)⁻¹, as PEFT's LoRA-FA optimizer does" },
        ],
        default: 'plain',
        group: 'optimization',
        advanced: true,
        description:
          "Which gradient the optimizer sees. The projected one is the step whose product with A is closest to full fine-tuning's; PEFT sets adam_epsilon to 1e-6 with it.",
      },
    ],
    check: ({ init_lora_weights: init }) => plainStart('lora_fa', init, true),
  },
  paper: 'https://arxiv.org/abs/2308.03303',
  // An embedding's A starts at zero: frozen it would never learn.
  adapts: (module) => module.kind !== 'embedding',

  parameters: (site, settings) =>
    lora
      .parameters(site, settings)
      .map((tensor) =>
        tensor.name.endsWith('.lora_A.weight') ? { ...tensor, frozen: true as const } : tensor,
      ),

  gradientTransform: {
    constants: (site, settings) =>
      settings.settings.lorafa_gradient === 'projected'
        ? [
            {
              name: 'lora_A.inverse_gram',
              shape: [site.r, site.r],
              value: (tensor) => inverseGram(tensor('lora_A.weight'), site.r, loraScaling(site, settings)),
            },
          ]
        : [],
    apply: (b, _, name, gradient, constant, settings) =>
      name === 'lora_B.weight' && settings.settings.lorafa_gradient === 'projected'
        ? b.gemm(gradient, constant('lora_A.inverse_gram'))
        : gradient,
  },

  // A file does not say that A was frozen: it loads as LoRA, which computes the same.
  peft: { type: 'LORA', read: () => undefined, write: () => ({}) },
};

/** s⁻²·(AAᵀ + 1e-8·I)⁻¹ of A [r, in], in float64 by Cholesky. */
function inverseGram(a: Float32Array, r: number, scale: number): Float32Array {
  const width = a.length / r;
  const lower = Array.from({ length: r }, () => new Float64Array(r));
  for (let i = 0; i < r; i++) {
    for (let j = 0; j <= i; j++) {
      let sum = i === j ? 1e-8 : 0;
      for (let k = 0; k < width; k++) sum += a[i * width + k]! * a[j * width + k]!;
      for (let k = 0; k < j; k++) sum -= lower[i]![k]! * lower[j]![k]!;
      // Rank above the width leaves rounding alone: the smallest pivot that 1e-8 stands for.
      lower[i]![j] = i === j ? Math.sqrt(Math.max(sum, 1e-12)) : sum / lower[j]![j]!;
    }
  }
  const out = new Float32Array(r * r);
  for (let column = 0; column < r; column++) {
    const x = new Float64Array(r);
    for (let i = 0; i < r; i++) {
      let sum = i === column ? 1 : 0;
      for (let k = 0; k < i; k++) sum -= lower[i]![k]! * x[k]!;
      x[i] = sum / lower[i]![i]!;
    }
    for (let i = r - 1; i >= 0; i--) {
      let sum = x[i]!;
      for (let k = i + 1; k < r; k++) sum -= lower[k]![i]! * x[k]!;
      x[i] = sum / lower[i]![i]!;
    }
    for (let i = 0; i < r; i++) out[i * r + column] = x[i]! / scale ** 2;
  }
  return out;
}
