// O-LoRA (Wang et al., arXiv 2310.14152) for sequences of tasks: y = x·W0ᵀ + bias + Σ_{i<t} s_i·B_iA_i·x + s·B_tA_t·Drop(x).
// The pairs of earlier tasks lie frozen and stacked, A_p [Σr_i, in], B_p [out, Σr_i], in the bits of their files. Loss:
// + lamda_1·Σ_modules Σ|A_p·A_tᵀ| (the authors' code; squared: the paper's entries squared) + lamda_2·Σ(‖A_t‖ + ‖B_t‖).
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import { lora, loraScaling } from './lora';
import { plainStart } from './plainStart';
import {
  beside,
  columns,
  presentPairs,
  previousAdapters,
  previousFolders,
  valuesOf,
} from './previousAdapters';
import type { AdapterSettings } from './settings';
import type { PlannedTensor, Site, TaskForm, Variant } from './variant';

const group = { learningRateScale: 1, decay: false };
const [nameA, nameB] = ['o_lora_previous_A', 'o_lora_previous_B'] as const;
const weightOf = (settings: AdapterSettings, key: string): number => Number(settings.settings[key] ?? 0);
const stackRank = (site: Site): number => presentPairs(site).reduce((sum, { pair }) => sum + pair.rank, 0);

export const oLora: Variant = {
  id: 'o_lora',
  entry: {
    id: 'o_lora',
    label: 'O-LoRA: each task learns beside the earlier ones, at right angles',
    summary:
      'For tasks one after another: earlier adapters stay frozen and act, and the new one is kept orthogonal to them so that little is forgotten.',
    fields: [
      previousAdapters,
      {
        key: 'lamda_1',
        type: 'number',
        minimum: 0,
        maximum: 1000,
        default: 0.5,
        group: 'adapter',
        description:
          'Weight of the loss that keeps A orthogonal to the earlier tasks’. At 0 this is plain LoRA after LoRA.',
      },
      {
        key: 'lamda_2',
        type: 'number',
        minimum: 0,
        maximum: 1000,
        default: 0,
        group: 'adapter',
        advanced: true,
        description: 'Weight of the norms of A and B in the loss.',
      },
      {
        key: 'squared',
        type: 'boolean',
        default: false,
        group: 'adapter',
        advanced: true,
        description:
          'Squares the products as the paper writes them; else their sizes count, as in the authors’ code.',
      },
      {
        key: 'save_tasks',
        type: 'boolean',
        default: false,
        group: 'adapter',
        advanced: true,
        description:
          'Saves every task as a LoRA folder of its own (task-1, task-2, …), in place of one LoRA of all ranks together.',
      },
    ],
    check: ({ init_lora_weights: init, settings }) => [
      ...plainStart('o_lora', init),
      ...(init === false
        ? [
            {
              where: 'init_lora_weights',
              message:
                'adapter o_lora starts a task where the one before ended, which init_lora_weights: false does not.',
              remedy: 'Set init_lora_weights: true.',
            },
          ]
        : []),
      ...(Array.isArray(settings.previous_adapters) &&
      new Set(settings.previous_adapters).size < settings.previous_adapters.length
        ? [
            {
              where: 'previous_adapters',
              message: 'previous_adapters names a folder twice; it would act twice.',
              remedy: 'Name every folder once.',
            },
          ]
        : []),
    ],
  },
  paper: 'https://arxiv.org/abs/2310.14152',
  traits: { startsAtBase: true, linearInInput: true, additive: true },
  adapts: (module) => module.kind !== 'embedding',
  earlier: previousFolders,

  parameters(site, settings) {
    const { path, inFeatures, outFeatures } = site;
    const rank = stackRank(site);
    const stack: PlannedTensor[] = [
      {
        name: `${path}.${nameA}`,
        shape: [rank, inFeatures],
        group,
        frozen: true,
        initial: () => {
          const all = new Float32Array(rank * inFeatures);
          for (const { offset, pair } of presentPairs(site)) all.set(valuesOf(pair).a, offset * inFeatures);
          return all;
        },
      },
      {
        name: `${path}.${nameB}`,
        shape: [outFeatures, rank],
        group,
        frozen: true,
        initial: () =>
          beside(
            outFeatures,
            presentPairs(site).map(({ pair }) => ({ rank: pair.rank, data: valuesOf(pair).b })),
          ),
      },
    ];
    return [...lora.parameters(site, settings), ...(rank > 0 ? stack : [])];
  },

  apply(c, x, settings) {
    const { b, site } = c;
    const [l1, l2] = [weightOf(settings, 'lamda_1'), weightOf(settings, 'lamda_2')];
    const [a, up] = [c.parameter('lora_A.weight'), c.parameter('lora_B.weight')];
    const y = lora.apply(c, x, settings);
    if (c.training && l2 > 0) c.addLoss('norms', b.add(norm(b, a), norm(b, up)), l2);
    if (stackRank(site) === 0) return y;
    const previous = c.parameter(nameA);
    if (c.training && l1 > 0)
      c.addLoss('orthogonality', overlap(b, previous, a, settings.settings.squared === true), l1);
    const low = scaled(b, b.gemm(x, previous, { transB: true }), site);
    return b.add(y, b.gemm(low, c.parameter(nameB), { transB: true }));
  },

  /** The pairs of all tasks stacked, the newest last. */
  loraForm(site, tensors, settings) {
    const forms = taskForms(site, tensors, settings);
    const rank = forms.reduce((sum, form) => sum + form.rank, 0);
    const a = new Float32Array(rank * site.inFeatures);
    let at = 0;
    for (const form of forms) {
      a.set(form.a, at * site.inFeatures);
      at += form.rank;
    }
    const stack = (part: (form: TaskForm) => Float32Array): Float32Array =>
      beside(
        site.outFeatures,
        forms.map((form) => ({ rank: form.rank, data: part(form) })),
      );
    const s = loraScaling(site, settings);
    // One scaling for all tasks is what alpha/r can say without changing a bit of the factors; absent tasks have none.
    const alike = presentPairs(site).every(({ pair }) => Math.abs(pair.scaling - s) <= 1e-9 * Math.abs(s));
    return {
      rank,
      a,
      b: stack((form) => form.b),
      ...(alike ? { stored: { b: stack((form) => form.stored?.b ?? form.b), alpha: s * rank } } : {}),
    };
  },
  tasks: taskForms,
  savesTasks: ({ settings }) => settings.save_tasks === true,
};

function taskForms(
  site: Site,
  tensors: (name: string) => Float32Array,
  settings: AdapterSettings,
): TaskForm[] {
  const own = lora.loraForm!(site, tensors, settings);
  const earlier = site.earlier ?? [];
  const whole = stackRank(site);
  const { inFeatures, outFeatures } = site;
  const present = presentPairs(site);
  return [
    ...earlier.map(({ rank, scaling }, task): TaskForm => {
      const place = present.find((pair) => pair.task === task);
      if (!place) return { rank: 0, a: new Float32Array(0), b: new Float32Array(0) };
      const start = place.offset;
      const a = tensors(nameA).slice(start * inFeatures, (start + rank) * inFeatures);
      const up = columns(tensors(nameB), outFeatures, whole, start, rank);
      return {
        rank,
        a,
        b: up.map((value) => value * scaling),
        stored: { b: up, alpha: scaling * rank },
      };
    }),
    own,
  ];
}

/** low [N, Σr_i], every rank times the scaling of its task. */
function scaled(b: GraphBuilder, low: Value, site: Site): Value {
  const scalings = presentPairs(site).flatMap(({ pair }) =>
    Array.from({ length: pair.rank }, () => pair.scaling),
  );
  if (scalings.every((scaling) => scaling === scalings[0])) return b.scale(low, scalings[0]!);
  return b.mul(low, b.constant('float32', [scalings.length], Float32Array.from(scalings), 'scalings'));
}

/** Σ|A_p·Aᵀ|, or Σ(A_p·Aᵀ)². */
function overlap(b: GraphBuilder, previous: Value, a: Value, squared: boolean): Value {
  const products = b.gemm(previous, a, { transB: true });
  const axes = { axes: [0, 1], keepdims: 0 } as const;
  return squared
    ? b.op('ReduceSumSquare', [products], axes)
    : b.op('ReduceSum', [b.op('Abs', [products], {})], axes);
}

/** ‖x‖_F; the small number guards the root's slope at zero. */
function norm(b: GraphBuilder, x: Value): Value {
  const square = b.op('ReduceSumSquare', [x], { axes: [0, 1], keepdims: 0 });
  return b.op('Sqrt', [b.add(square, b.scalar(1e-24))], {});
}
