// ReLoRA (Lialin et al., arXiv 2307.05695): every `relora_steps` steps the adapter goes into the weight and starts anew, so that
// the whole update gains rank. The base stays as it is: merged pairs are stacked beside it, y = x·W0ᵀ + s·BAx + B_m·A_m·x with
// A_m [merges·r, in], B_m [out, merges·r], s included in B_m; the result is exactly one LoRA. A restart draws A anew, sets B
// and the optimizer's state to zero, and lets the learning rate rise again.
import { invariant } from '../errors';
import { Random } from '../random';
import { lora, loraScaling } from './lora';
import type { AdapterSettings } from './settings';
import type { HostPart, HostState, Site, StepAccess, Variant } from './variant';

const group = { learningRateScale: 1, decay: false };
const mergesOf = (settings: AdapterSettings): number => Number(settings.settings.relora_merges);

export const relora: Variant = {
  id: 'relora',
  entry: {
    id: 'relora',
    label: 'ReLoRA: LoRA that is merged and started anew',
    summary:
      'The rank of the update grows with every restart; for long runs. The file is a LoRA of all ranks together.',
    fields: [
      {
        key: 'relora_steps',
        type: 'integer',
        minimum: 1,
        default: 500,
        unit: 'optimizer steps',
        group: 'adapter',
        description: 'Steps between two restarts.',
      },
      {
        key: 'relora_merges',
        type: 'integer',
        minimum: 1,
        maximum: 1024,
        default: 3,
        group: 'adapter',
        description: 'Restarts at most; each adds r to the rank that the model computes with.',
      },
      {
        key: 'relora_warmup',
        type: 'integer',
        minimum: 0,
        default: 50,
        unit: 'optimizer steps',
        group: 'adapter',
        advanced: true,
        description: 'Steps over which the learning rate rises after a restart.',
      },
    ],
    check: ({ init_lora_weights: init, settings }) => [
      ...(init === true || init === 'gaussian'
        ? []
        : [
            {
              where: 'init_lora_weights',
              message: `adapter relora restarts with B at zero, which init_lora_weights: ${init} is not.`,
              remedy: 'Set init_lora_weights: true or gaussian.',
            },
          ]),
      ...(Number(settings.relora_warmup) >= Number(settings.relora_steps)
        ? [
            {
              where: 'relora_warmup',
              message: `relora_warmup: ${settings.relora_warmup} leaves no step at the full learning rate in relora_steps: ${settings.relora_steps}.`,
              remedy: 'Set relora_warmup below relora_steps.',
            },
          ]
        : []),
    ],
  },
  paper: 'https://arxiv.org/abs/2307.05695',
  traits: { startsAtBase: true, linearInInput: true, additive: true },
  adapts: (module) => module.kind !== 'embedding',

  parameters(site, settings) {
    const { path, r, inFeatures, outFeatures } = site;
    const rank = mergesOf(settings) * r;
    const fixed = { group, frozen: true } as const;
    return [
      ...lora.parameters(site, settings),
      {
        name: `${path}.relora_A`,
        shape: [rank, inFeatures],
        ...fixed,
        initial: () => new Float32Array(rank * inFeatures),
      },
      {
        name: `${path}.relora_B`,
        shape: [outFeatures, rank],
        ...fixed,
        initial: () => new Float32Array(outFeatures * rank),
      },
    ];
  },

  apply(c, x, settings) {
    const { b } = c;
    const low = b.gemm(x, c.parameter('relora_A'), { transB: true });
    const merged = b.gemm(low, c.parameter('relora_B'), { transB: true });
    return b.add(lora.apply(c, x, settings), merged);
  },

  /** [A; the merged A] and [s·B, the merged B]. */
  loraForm(site, tensors, settings) {
    const { r, inFeatures, outFeatures } = site;
    const [a, up, stackA, stackB] = [
      tensors('lora_A.weight'),
      tensors('lora_B.weight'),
      tensors('relora_A'),
      tensors('relora_B'),
    ];
    const rows = stackA.length / inFeatures;
    const filled = Array.from({ length: rows }, (_, k) => k).filter((k) =>
      stackA.subarray(k * inFeatures, (k + 1) * inFeatures).some((value) => value !== 0),
    );
    const rank = r + filled.length;
    const form = { rank, a: new Float32Array(rank * inFeatures), b: new Float32Array(outFeatures * rank) };
    const scale = loraScaling(site, settings);
    form.a.set(a);
    filled.forEach((k, i) => {
      form.a.set(stackA.subarray(k * inFeatures, (k + 1) * inFeatures), (r + i) * inFeatures);
    });
    for (let o = 0; o < outFeatures; o++) {
      for (let k = 0; k < r; k++) form.b[o * rank + k] = scale * up[o * r + k]!;
      filled.forEach((k, i) => {
        form.b[o * rank + r + i] = stackB[o * rows + k]!;
      });
    }
    return form;
  },

  host: (sites, settings, totalSteps) => new Restarts(sites, settings, totalSteps),
};

/** Merges and restarts by the calendar. */
class Restarts implements HostPart {
  /** Merges done, and the step after which the last one was. */
  #merges = 0;
  #last = 0;

  constructor(
    private readonly sites: readonly Site[],
    private readonly settings: AdapterSettings,
    private readonly totalSteps: number,
  ) {}

  learningRateFactor(step: number): number {
    const warmup = Number(this.settings.settings.relora_warmup);
    return this.#merges === 0 || warmup === 0 ? 1 : Math.min(1, (step - this.#last) / warmup);
  }

  afterUpdate(run: StepAccess): readonly string[] {
    const { relora_steps: every } = this.settings.settings;
    const due = run.step % Number(every) === 0 && run.step < this.totalSteps;
    if (!due || this.#merges >= mergesOf(this.settings)) return [];
    const now = run.parameters();
    const changed = new Map<string, Float32Array>();
    for (const site of this.sites) this.#restart(site, now, changed, run.step);
    run.write(changed);
    run.resetOptimizer(this.sites.flatMap(({ path }) => [`${path}.lora_A.weight`, `${path}.lora_B.weight`]));
    this.#merges++;
    this.#last = run.step;
    return [`ReLoRA merged the adapter after step ${run.step} and started it anew (${this.#merges}).`];
  }

  state(): HostState {
    return { values: { merges: this.#merges, last: this.#last }, tensors: [] };
  }

  restore({ values: { merges, last } }: HostState): void {
    invariant(Number.isSafeInteger(merges) && Number.isSafeInteger(last), 'merges are counted');
    this.#merges = merges as number;
    this.#last = last as number;
  }

  #restart(
    site: Site,
    now: ReadonlyMap<string, Float32Array>,
    changed: Map<string, Float32Array>,
    step: number,
  ): void {
    const { path, r, inFeatures, outFeatures } = site;
    const [a, b] = [now.get(`${path}.lora_A.weight`)!, now.get(`${path}.lora_B.weight`)!];
    const [stackA, stackB] = ['relora_A', 'relora_B'].map((part) => now.get(`${path}.${part}`)!.slice()) as [
      Float32Array,
      Float32Array,
    ];
    const rows = stackA.length / inFeatures;
    const scale = loraScaling(site, this.settings);
    stackA.set(a, this.#merges * r * inFeatures);
    for (let o = 0; o < outFeatures; o++)
      for (let k = 0; k < r; k++) stackB[o * rows + this.#merges * r + k] = scale * b[o * r + k]!;
    // A fresh draw each time; that it be the same in a resumed run is all that the seed is for.
    const [factorA] = lora.parameters(site, this.settings);
    const fresh = factorA!.initial(new Random(step, 'relora'), () => Promise.reject(new Error('no base')));
    invariant(fresh instanceof Float32Array, 'a start that needs no base weight is there at once');
    changed
      .set(`${path}.relora_A`, stackA)
      .set(`${path}.relora_B`, stackB)
      .set(`${path}.lora_A.weight`, fresh)
      .set(`${path}.lora_B.weight`, new Float32Array(b.length));
  }
}
