// Delta-LoRA (Zi et al., arXiv 2309.02411): after every step from `delta_start` on, the base weight follows the adapter:
// W ← W + λ·s·(B₊A₊ − BA), without gradient or state of its own. The steps telescope, so that W = W0 + λ·s·(BA − B_K·A_K) with
// the pair of the moment K when it began, and the base itself stays as it is: y = x·W0ᵀ + s·BAx + λ·s·(BA)°x − λ·s·B_K·A_K·x,
// where ° takes no gradient for A and B. The whole update is one LoRA of rank 2r.
import { lora, loraScaling } from './lora';
import { plainStart } from './plainStart';
import type { HostPart, Site, Variant } from './variant';

const none: Record<string, never> = {};
const group = { learningRateScale: 1, decay: false };

export const deltaLora: Variant = {
  id: 'delta_lora',
  entry: {
    id: 'delta_lora',
    label: 'Delta-LoRA: the base weight follows the adapter',
    summary: 'LoRA whose steps also move the weight itself; saved exactly as a LoRA of twice the rank.',
    fields: [
      {
        key: 'delta_lambda',
        type: 'number',
        minimum: 0,
        maximum: 100,
        default: 0.5,
        group: 'adapter',
        description: 'How far the weight follows the adapter; 0 is plain LoRA.',
      },
      {
        key: 'delta_start',
        type: 'integer',
        minimum: 0,
        default: 100,
        unit: 'optimizer steps',
        group: 'adapter',
        advanced: true,
        description: 'Steps before the weight begins to follow.',
      },
    ],
    check: ({ lora_dropout, init_lora_weights: init }) => [
      ...(lora_dropout > 0
        ? [
            {
              where: 'lora_dropout',
              message: `adapter delta_lora works without dropout, found lora_dropout: ${lora_dropout}.`,
              remedy: 'Set lora_dropout: 0.',
            },
          ]
        : []),
      ...plainStart('delta_lora', init),
    ],
  },
  paper: 'https://arxiv.org/abs/2309.02411',
  traits: { startsAtBase: true, linearInInput: true, additive: true, detached: /\.lora_[AB]\./ },
  adapts: (module) => module.kind !== 'embedding',

  parameters(site, settings) {
    const { path, r, inFeatures, outFeatures } = site;
    const fixed = { group, frozen: true } as const;
    // From the start the pair of that moment has B = 0.
    const from = Number(settings.settings.delta_start) === 0 ? Number(settings.settings.delta_lambda) : 0;
    return [
      ...lora.parameters(site, settings),
      {
        name: `${path}.delta_A`,
        shape: [r, inFeatures],
        ...fixed,
        initial: () => new Float32Array(r * inFeatures),
      },
      {
        name: `${path}.delta_B`,
        shape: [outFeatures, r],
        ...fixed,
        initial: () => new Float32Array(outFeatures * r),
      },
      { name: `${path}.delta_lambda`, shape: [1], ...fixed, initial: () => Float32Array.of(from) },
    ];
  },

  apply(c, x, settings) {
    const { b } = c;
    const alpha = loraScaling(c.site, settings);
    const [a, up] = [c.parameter('lora_A.weight'), c.parameter('lora_B.weight')];
    const through = (left: typeof a, right: typeof a) =>
      b.gemm(b.gemm(x, left, { transB: true }), right, { transB: true, alpha });
    const still = [a, up].map((value) => b.op('StopGradient', [value], none)) as [typeof a, typeof a];
    const followed = b.sub(through(...still), through(c.parameter('delta_A'), c.parameter('delta_B')));
    const update = b.add(through(a, up), b.mul(followed, c.parameter('delta_lambda')));
    return b.add(c.base(x), update);
  },

  /** [A; A_K] and [(1+λ)·s·B, −λ·s·B_K]. */
  loraForm(site, tensors, settings) {
    const { r, outFeatures } = site;
    const scale = loraScaling(site, settings);
    const lambda = tensors('delta_lambda')[0]!;
    const [up, before] = [tensors('lora_B.weight'), tensors('delta_B')];
    const b = new Float32Array(outFeatures * 2 * r);
    for (let o = 0; o < outFeatures; o++) {
      for (let k = 0; k < r; k++) {
        b[o * 2 * r + k] = (1 + lambda) * scale * up[o * r + k]!;
        b[o * 2 * r + r + k] = -lambda * scale * before[o * r + k]!;
      }
    }
    return { rank: 2 * r, a: joined(tensors('lora_A.weight'), tensors('delta_A')), b };
  },

  host: (sites, settings) =>
    beginning(sites, Number(settings.settings.delta_start), Number(settings.settings.delta_lambda)),
};

/** Keeps the pairs of the moment at which the weights begin to follow; everything else is in the graph. */
function beginning(sites: readonly Site[], start: number, lambda: number): HostPart {
  return {
    afterUpdate(run) {
      if (run.step !== start) return [];
      const now = run.parameters();
      const changed = sites.flatMap(({ path }): [string, Float32Array][] => [
        [`${path}.delta_A`, now.get(`${path}.lora_A.weight`)!],
        [`${path}.delta_B`, now.get(`${path}.lora_B.weight`)!],
        [`${path}.delta_lambda`, Float32Array.of(lambda)],
      ]);
      run.write(new Map(changed));
      return [`From step ${start + 1} on the weights follow the adapter by ${lambda}.`];
    },
    // The frozen tensors are all there is to keep.
    state: () => ({ values: {}, tensors: [] }),
    restore: () => {},
  };
}

function joined(first: Float32Array, second: Float32Array): Float32Array {
  const all = new Float32Array(first.length + second.length);
  all.set(first);
  all.set(second, first.length);
  return all;
}
