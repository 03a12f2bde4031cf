// AdaLoRA (Zhang et al., arXiv 2303.10512) with PEFT's numbers: ΔW = κ·B·diag(E)·A with κ = alpha/(init_r + 1e-5), whose
// triplets compete for a budget that falls from init_r to target_r per module. A [r, in], B [out, r] ~ N(0, 0.02²), E [r, 1] = 0.
// Loss: + orth_reg_weight · mean over all A and B of ‖AAᵀ − I‖_F and ‖BᵀB − I‖_F. The budget is adaloraBudget.ts's.
import type { SettingField } from '../../protocol/settings';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import { Random } from '../random';
import { AdaLoraBudget } from './adaloraBudget';
import type { AdapterSettings } from './settings';
import type { Site, Variant } from './variant';

const common = { group: 'adapter', advanced: true } as const;
const fields: readonly SettingField[] = [
  {
    key: 'init_r',
    type: 'integer',
    minimum: 1,
    maximum: 65536,
    default: 12,
    group: 'adapter',
    description: 'Rank of every module at the start; one and a half to three times target_r is usual.',
  },
  {
    key: 'target_r',
    type: 'integer',
    minimum: 0,
    maximum: 65535,
    default: 8,
    group: 'adapter',
    description: 'Mean rank of the modules at the end; must be less than init_r.',
  },
  {
    key: 'tinit',
    type: 'integer',
    minimum: 0,
    default: null,
    unit: 'optimizer steps',
    ...common,
    description: 'Steps before ranks are taken away. By default a tenth of all steps.',
  },
  {
    key: 'tfinal',
    type: 'integer',
    minimum: 0,
    default: null,
    unit: 'optimizer steps',
    ...common,
    description: 'Steps at the end with the final ranks. By default a fifth of all steps.',
  },
  {
    key: 'deltaT',
    type: 'integer',
    minimum: 1,
    default: 1,
    unit: 'optimizer steps',
    ...common,
    description: 'Ranks are given anew every this many steps.',
  },
  ...['beta1', 'beta2'].map(
    (key): SettingField => ({
      key,
      type: 'number',
      exclusiveMinimum: 0,
      exclusiveMaximum: 1,
      default: 0.85,
      ...common,
      description: `Smoothing of the ${key === 'beta1' ? 'sensitivity' : 'uncertainty'} by which triplets are compared.`,
    }),
  ),
  {
    key: 'orth_reg_weight',
    type: 'number',
    minimum: 0,
    maximum: 1000,
    default: 0.5,
    ...common,
    description: 'Weight of the loss that keeps A and B orthogonal; 0.1 to 0.5 is usual.',
  },
];

const numberOf = (settings: AdapterSettings, key: string): number => Number(settings.settings[key]);
const initialRank = (settings: AdapterSettings): number => numberOf(settings, 'init_r');
/** It keeps init_r for ever, whatever ranks are left. */
const kappa = (site: Site, settings: AdapterSettings): number => site.alpha / (initialRank(settings) + 1e-5);

export const adalora: Variant = {
  id: 'adalora',
  entry: {
    id: 'adalora',
    label: 'AdaLoRA: LoRA that gives rank to the modules that need it',
    summary:
      'Starts with more rank than it keeps and takes it away where it matters least; best at small budgets.',
    fields,
    without: ['r', 'init_lora_weights', 'use_rslora', 'rank_pattern', 'alpha_pattern'],
    check: ({ settings, max_steps }) => {
      const [initial, target] = [Number(settings.init_r), Number(settings.target_r)];
      const waiting = Number(settings.tinit ?? 0) + Number(settings.tfinal ?? 0);
      return [
        ...(target >= initial
          ? [
              {
                where: 'target_r',
                message: `target_r: ${target} must be less than init_r: ${initial}.`,
                remedy: `Set target_r below ${initial}, or a higher init_r.`,
              },
            ]
          : []),
        ...(max_steps > 0 && waiting >= max_steps
          ? [
              {
                where: 'tinit',
                message: `tinit and tfinal are ${waiting} steps together; max_steps: ${max_steps} leaves none for changing the ranks.`,
                remedy: `Set tinit and tfinal to less than ${max_steps} together.`,
              },
            ]
          : []),
      ];
    },
  },
  paper: 'https://arxiv.org/abs/2303.10512',
  traits: { startsAtBase: true, linearInInput: true, additive: true },
  adapts: (module) => module.kind !== 'embedding',
  rank: initialRank,

  parameters({ path, inFeatures, outFeatures, r }) {
    const group = { learningRateScale: 1, decay: true };
    const normal = (part: string, count: number) => (random: Random) => {
      const own = new Random(random.next(), `${path}.${part}`);
      return Float32Array.from({ length: count }, () => 0.02 * own.normal());
    };
    return [
      {
        name: `${path}.lora_A`,
        shape: [r, inFeatures],
        rankAxis: 0,
        group,
        initial: normal('lora_A', r * inFeatures),
      },
      {
        name: `${path}.lora_B`,
        shape: [outFeatures, r],
        rankAxis: 1,
        outputSide: true,
        group,
        initial: normal('lora_B', outFeatures * r),
      },
      { name: `${path}.lora_E`, shape: [r, 1], rankAxis: 0, group, initial: () => new Float32Array(r) },
    ];
  },

  apply(c, x, settings) {
    const { b, site } = c;
    const [a, up] = [c.parameter('lora_A'), c.parameter('lora_B')];
    const scale = b.reshape(c.parameter('lora_E'), [site.r]);
    const dropped = c.dropout(x);
    const low = b.mul(b.gemm(dropped.value, a, { transB: true, alpha: dropped.keepScale }), scale);
    const weight = numberOf(settings, 'orth_reg_weight');
    if (c.training && weight > 0) {
      const grams = [b.gemm(a, a, { transB: true }), b.gemm(up, up, { transA: true })];
      const distance = grams.map((gram) => fromIdentity(b, gram, site.r));
      c.addLoss('orthogonality', b.add(distance[0]!, distance[1]!), weight / (2 * c.siteCount));
    }
    return b.add(c.base(x), b.gemm(low, up, { transB: true, alpha: kappa(site, settings) }));
  },

  loraForm(site, tensors, settings) {
    const [a, up, e] = [tensors('lora_A'), tensors('lora_B'), tensors('lora_E')];
    const { inFeatures, outFeatures } = site;
    const live = Array.from(e.keys()).filter((k) => e[k] !== 0);
    const rank = live.length;
    const form = {
      rank,
      a: new Float32Array(rank * inFeatures),
      b: new Float32Array(outFeatures * rank),
    };
    const scale = kappa(site, settings);
    live.forEach((k, i) => {
      for (let j = 0; j < inFeatures; j++) form.a[i * inFeatures + j] = e[k]! * a[k * inFeatures + j]!;
      for (let o = 0; o < outFeatures; o++) form.b[o * rank + i] = scale * up[o * e.length + k]!;
    });
    return form;
  },

  peft: {
    type: 'ADALORA',
    read: (config) => {
      if (config.peft_type !== 'ADALORA') return undefined;
      const { init_r, target_r, tinit, tfinal, deltaT, beta1, beta2, orth_reg_weight } = config;
      return {
        rank_pattern: {},
        settings: { init_r, target_r, tinit, tfinal, deltaT, beta1, beta2, orth_reg_weight },
      };
    },
    write: ({ settings }, _, host) => {
      const [tinit, tfinal] = [host?.tinit ?? settings.tinit ?? 0, host?.tfinal ?? settings.tfinal ?? 0];
      return {
        ...Object.fromEntries(fields.map(({ key }) => [key, settings[key]])),
        // PEFT ignores r here and warns of any other value.
        r: 8,
        tinit,
        tfinal,
        total_step: host?.totalSteps ?? Number(tinit) + Number(tfinal) + 1,
        rank_pattern: host?.masks ?? null,
      };
    },
    kept: (config, site) =>
      config.peft_type === 'ADALORA' ? config.rank_pattern?.[`${site.path}.lora_E`] : undefined,
  },

  host: (sites, settings, totalSteps) => new AdaLoraBudget(sites, settings, totalSteps),
};

/** ‖gram − I‖_F; the small number guards the root's slope at zero. */
function fromIdentity(b: GraphBuilder, gram: Value, size: number): Value {
  const identity = Float32Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0));
  const difference = b.sub(gram, b.constant('float32', [size, size], identity, 'identity'));
  const square = b.op('ReduceSumSquare', [difference], { axes: [0, 1], keepdims: 0 });
  return b.op('Sqrt', [b.add(square, b.scalar(1e-24))], {});
}
