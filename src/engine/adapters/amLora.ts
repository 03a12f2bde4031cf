// AM-LoRA (arXiv 2409.19611) for sequences of tasks, in this engine's form: every task has a LoRA, h_i = s_i·B_iA_i·x, and a gate
// that looks at what the task would add, token by token: z_i = w_i·h_i, a_i = gate(z_i), y = x·W0ᵀ + bias + Σ a_i·h_i. Earlier
// pairs are frozen; (A_t, B_t) and all w train. Loss: + am_lambda · mean of |a| over tokens (padding included), tasks and modules.
//
// Gates are not normalised: a softmax's sum is 1 whatever it is asked. They are neutral at w = 0, where a = 1: 2·sigmoid(z), or
// relu(1 + z), which can shut a task out. They depend on the input, so that no weight says the same; `averaged` comes near.
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import { lora, loraScaling } from './lora';
import { plainStart } from './plainStart';
import { beside, presentPairs, previousAdapters, previousFolders, valuesOf } from './previousAdapters';
import type { AdapterSettings } from './settings';
import type { LoraForm, PlannedTensor, Site, TaskForm, Variant } from './variant';

const group = { learningRateScale: 1, decay: false };
const gateName = 'am_lora_gate';
/** Names of an earlier task's pair; tasks count from 1 in files. */
const nameOf = (task: number, side: 'A' | 'B'): string => `am_lora_${side}.${task + 1}`;

export const amLora: Variant = {
  id: 'am_lora',
  entry: {
    id: 'am_lora',
    label: 'AM-LoRA: one LoRA per task, and gates that mix them token by token',
    summary:
      'For tasks one after another: earlier adapters stay frozen, and gates learn which of them each token needs. Cannot be merged.',
    fields: [
      previousAdapters,
      {
        key: 'am_gate',
        type: 'enum',
        choices: [
          { id: 'sigmoid', label: 'Between 0 and 2, smooth' },
          { id: 'relu', label: 'From 0 up; can shut a task out' },
        ],
        default: 'sigmoid',
        group: 'adapter',
        description: 'How a task’s score becomes its gate. Every gate starts at 1.',
      },
      {
        key: 'am_lambda',
        type: 'number',
        minimum: 0,
        maximum: 1000,
        default: 0.01,
        group: 'adapter',
        advanced: true,
        description: 'Weight of the mean gate in the loss: higher lets fewer tasks act.',
      },
    ],
    check: ({ init_lora_weights: init }) => [
      ...plainStart('am_lora', init),
      ...(init === false
        ? [
            {
              where: 'init_lora_weights',
              message:
                'adapter am_lora starts a task where the one before ended, which init_lora_weights: false does not.',
              remedy: 'Set init_lora_weights: true.',
            },
          ]
        : []),
    ],
  },
  paper: 'https://arxiv.org/abs/2409.19611',
  traits: { startsAtBase: true, linearInInput: false, additive: true },
  adapts: (module) => module.kind !== 'embedding',
  earlier: previousFolders,

  parameters(site, settings) {
    const { path, inFeatures, outFeatures } = site;
    const present = presentPairs(site);
    const pairs = present.flatMap(({ task, pair }): PlannedTensor[] => [
      {
        name: `${path}.${nameOf(task, 'A')}`,
        shape: [pair.rank, inFeatures],
        group,
        frozen: true,
        initial: () => valuesOf(pair).a,
      },
      {
        name: `${path}.${nameOf(task, 'B')}`,
        shape: [outFeatures, pair.rank],
        group,
        frozen: true,
        initial: () => valuesOf(pair).b,
      },
    ]);
    const gates: PlannedTensor = {
      name: `${path}.${gateName}`,
      shape: [present.length + 1, outFeatures],
      group,
      // A task that comes with a gate keeps it; all others start neutral.
      initial: () => {
        const all = new Float32Array((present.length + 1) * outFeatures);
        present.forEach(({ pair }, i) => {
          const own = valuesOf(pair).own?.get(gateName);
          if (own) all.set(own, i * outFeatures);
        });
        return all;
      },
    };
    return [...lora.parameters(site, settings), ...pairs, gates];
  },

  apply(c, x, settings) {
    const { b, site } = c;
    const kind = settings.settings.am_gate;
    const gates = c.parameter(gateName);
    const dropped = c.dropout(x);
    const tasks = [
      ...presentPairs(site).map(({ task, pair }) => ({
        a: c.parameter(nameOf(task, 'A')),
        up: c.parameter(nameOf(task, 'B')),
        scaling: pair.scaling,
        input: x,
        keepScale: 1,
      })),
      {
        a: c.parameter('lora_A.weight'),
        up: c.parameter('lora_B.weight'),
        scaling: loraScaling(site, settings),
        input: dropped.value,
        keepScale: dropped.keepScale,
      },
    ];
    const opened: Value[] = [];
    let y = c.base(x);
    tasks.forEach(({ a, up, scaling, input, keepScale }, i) => {
      const low = b.gemm(input, a, { transB: true, alpha: keepScale });
      // w·h = s·low·(Bᵀw): r numbers instead of a whole output per task and token.
      const key = b.gemm(b.slice(gates, 0, i, i + 1), up);
      const gate = opening(b, b.gemm(low, key, { transB: true, alpha: scaling }), kind);
      opened.push(gate);
      y = b.add(y, b.gemm(b.mul(low, gate), up, { transB: true, alpha: scaling }));
    });
    const all = b.concat(opened, 1);
    c.observe?.(gateName, all);
    const weight = Number(settings.settings.am_lambda ?? 0);
    // Gates are never negative: their mean is the mean of |a|.
    if (c.training && weight > 0)
      c.addLoss('gates', b.op('ReduceMean', [all], { axes: [0, 1], keepdims: 0 }), weight / c.siteCount);
    return y;
  },

  tasks: taskForms,
  savesTasks: () => true,

  /** Mean gates in place of those of each token, one per task: a `cat` with these weights. */
  averaged(site, tensors, settings, means) {
    const forms = taskForms(site, tensors, settings).filter(({ rank }) => rank > 0);
    const rank = forms.reduce((sum, form) => sum + form.rank, 0);
    const a = new Float32Array(rank * site.inFeatures);
    let at = 0;
    for (const form of forms) {
      a.set(form.a, at * site.inFeatures);
      at += form.rank;
    }
    const b = beside(
      site.outFeatures,
      forms.map((form, i) => ({ rank: form.rank, data: form.b.map((value) => value * means[i]!) })),
    );
    return { rank, a, b } satisfies LoraForm;
  },
};

/** a(z), 1 at 0. z [N, 1]. */
function opening(b: GraphBuilder, z: Value, kind: unknown): Value {
  return kind === 'relu' ? b.op('Relu', [b.add(z, b.scalar(1))], {}) : b.scale(b.op('Sigmoid', [z], {}), 2);
}

function taskForms(
  site: Site,
  tensors: (name: string) => Float32Array,
  settings: AdapterSettings,
): TaskForm[] {
  const { outFeatures } = site;
  const present = presentPairs(site);
  const gates = tensors(gateName);
  const gate = (i: number) => new Map([[gateName, gates.slice(i * outFeatures, (i + 1) * outFeatures)]]);
  const earlier = (site.earlier ?? []).map(({ rank, scaling }, task): TaskForm => {
    const place = present.findIndex((pair) => pair.task === task);
    if (place < 0) return { rank: 0, a: new Float32Array(0), b: new Float32Array(0) };
    const up = tensors(nameOf(task, 'B'));
    return {
      rank,
      a: tensors(nameOf(task, 'A')),
      b: up.map((value) => value * scaling),
      stored: { b: up, alpha: scaling * rank },
      own: gate(place),
    };
  });
  return [...earlier, { ...lora.loraForm!(site, tensors, settings), own: gate(present.length) }];
}
