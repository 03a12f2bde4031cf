// VeRA (Kopiczko et al., arXiv 2310.11454): one pair of random matrices for the whole adapter, frozen, and two trained vectors
// per module. y = x·W0ᵀ + bias + b ⊙ ((d ⊙ (Drop(x)·A[:, :in]ᵀ))·B[:out, :]ᵀ). A [r, in_max], B [out_max, r], the maxima over
// the adapted modules; d [r] starts at d_initial, b [out] at zero. There is no scaling.
import { MersenneTwister } from './mersenneTwister';
import type { Site, Variant } from './variant';

const nameA = 'base_model.vera_A';
const nameB = 'base_model.vera_B';

export const vera: Variant = {
  id: 'vera',
  entry: {
    id: 'vera',
    label: 'VeRA: two vectors per weight beside shared random matrices',
    summary:
      'A tenth or less of the parameters of LoRA; wants a higher rank and about ten times the learning rate.',
    fields: [
      {
        key: 'r',
        type: 'integer',
        minimum: 1,
        maximum: 65536,
        default: 256,
        group: 'adapter',
        description: 'Rank of the shared random matrices. 256 to 1024 is usual: only vectors of it train.',
      },
      {
        key: 'd_initial',
        type: 'number',
        minimum: -1000,
        maximum: 1000,
        default: 0.1,
        group: 'adapter',
        advanced: true,
        description: 'Start of the inner vector d. At 0 nothing would ever learn.',
      },
      {
        key: 'projection_prng_key',
        type: 'integer',
        minimum: 0,
        maximum: 4294967295,
        default: 0,
        group: 'adapter',
        advanced: true,
        description: 'Seed of the shared random matrices; the same numbers as in PEFT.',
      },
      {
        key: 'save_projection',
        type: 'boolean',
        default: true,
        group: 'adapter',
        advanced: true,
        description:
          'Stores the random matrices in the file. Without them they are made again from the seed.',
      },
    ],
    without: [
      'init_lora_weights',
      'lora_alpha',
      'use_rslora',
      'rank_pattern',
      'alpha_pattern',
      'exclude_modules',
    ],
    check: ({ settings }) =>
      settings.d_initial === 0
        ? [
            {
              where: 'd_initial',
              message: 'd_initial: 0 leaves both vectors at zero, where no gradient flows.',
              remedy: 'Set d_initial: 0.1.',
            },
          ]
        : [],
  },
  paper: 'https://arxiv.org/abs/2310.11454',
  traits: { startsAtBase: true, linearInInput: true, additive: true },
  adapts: (module) => module.kind !== 'embedding',

  shared(sites, settings) {
    const { r } = settings;
    const [widest, tallest] = [inMax(sites), outMax(sites)];
    // Kaiming uniform with ReLU's gain: √(6/fan in), the fan-in of B [out_max, r] being r. A is drawn first.
    const draw = () => {
      const random = new MersenneTwister(Number(settings.settings.projection_prng_key ?? 0));
      const a = random.uniform(r * widest, Math.sqrt(6 / widest));
      return { a, b: random.uniform(tallest * r, Math.sqrt(6 / r)) };
    };
    const common = {
      group: { learningRateScale: 1, decay: false },
      frozen: true,
      ...(settings.settings.save_projection === false ? { unstored: true as const } : {}),
    } as const;
    return [
      { name: nameA, shape: [r, widest], ...common, initial: () => draw().a },
      { name: nameB, shape: [tallest, r], ...common, initial: () => draw().b },
    ];
  },

  parameters({ path, outFeatures, r }, settings) {
    const group = { learningRateScale: 1, decay: true };
    const start = Number(settings.settings.d_initial ?? 0.1);
    return [
      {
        name: `${path}.vera_lambda_b`,
        shape: [outFeatures],
        group,
        initial: () => new Float32Array(outFeatures),
      },
      {
        name: `${path}.vera_lambda_d`,
        shape: [r],
        group,
        initial: () => new Float32Array(r).fill(start),
      },
    ];
  },

  apply(c, x) {
    const { b, site } = c;
    const [a, up] = [c.parameter(nameA), c.parameter(nameB)];
    const left = a.shape[1] === site.inFeatures ? a : b.slice(a, 1, 0, site.inFeatures);
    const top = up.shape[0] === site.outFeatures ? up : b.slice(up, 0, 0, site.outFeatures);
    const dropped = c.dropout(x);
    const low = b.gemm(dropped.value, left, { transB: true, alpha: dropped.keepScale });
    const high = b.gemm(b.mul(low, c.parameter('vera_lambda_d')), top, { transB: true });
    return b.add(c.base(x), b.mul(high, c.parameter('vera_lambda_b')));
  },

  /** lora_A = diag(d)·A, lora_B = diag(b)·B. */
  loraForm(site, tensors, settings) {
    const { inFeatures, outFeatures } = site;
    const { r } = settings;
    const [a, up, d, scale] = [nameA, nameB, 'vera_lambda_d', 'vera_lambda_b'].map(tensors) as [
      Float32Array,
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const widest = a.length / r;
    return {
      rank: r,
      a: Float32Array.from({ length: r * inFeatures }, (_, i) => {
        const k = Math.floor(i / inFeatures);
        return d[k]! * a[k * widest + (i % inFeatures)]!;
      }),
      b: Float32Array.from({ length: outFeatures * r }, (_, i) => scale[Math.floor(i / r)]! * up[i]!),
    };
  },

  peft: {
    type: 'VERA',
    read: (config) =>
      config.peft_type === 'VERA'
        ? {
            lora_dropout: config.vera_dropout,
            bias: config.bias === 'vera_only' ? 'lora_only' : config.bias,
            settings: {
              d_initial: config.d_initial,
              projection_prng_key: config.projection_prng_key,
              save_projection: config.save_projection,
            },
          }
        : undefined,
    write: ({ lora_dropout, bias, settings }) => ({
      vera_dropout: lora_dropout,
      bias: bias === 'lora_only' ? 'vera_only' : bias,
      d_initial: settings.d_initial ?? 0.1,
      projection_prng_key: settings.projection_prng_key ?? 0,
      save_projection: settings.save_projection !== false,
    }),
  },
};

const inMax = (sites: readonly Site[]): number => Math.max(...sites.map((site) => site.inFeatures));
const outMax = (sites: readonly Site[]): number => Math.max(...sites.map((site) => site.outFeatures));
