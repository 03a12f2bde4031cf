// AdaLoRA's budget on the host, in PEFT's order (peft.tuners.adalora.layer.RankAllocator). After the update of 0-based step t:
// I = |p·∂p|; Ī ← β1·Ī + (1−β1)·I; Ū ← β2·Ū + (1−β2)·|I − Ī|; an element's score is Ī·Ū, a triplet's that of its E plus the
// means of its row of A and its column of B. Triplets up to the (b0 − b)-th smallest score get E = 0; they may revive until
// the final phase, in which the last mask is put on after every step.
import { AdapterError, invariant } from '../errors';
import type { AdapterSettings } from './settings';
import type { HostPart, HostState, Site, StepAccess } from './variant';

interface Statistics {
  importance: Float32Array;
  uncertainty: Float32Array;
}

export class AdaLoraBudget implements HostPart {
  readonly #statistics = new Map<string, Statistics>();
  /** By `<path>.lora_E`: which triplets are kept. Undefined until ranks were given. */
  #masks: Record<string, boolean[]> | undefined;
  #reported = Number.POSITIVE_INFINITY;
  readonly #rank: number;
  readonly #target: number;
  readonly #interval: number;
  readonly #betas: readonly [number, number];
  readonly #tinit: number;
  readonly #tfinal: number;

  /** @throws AdapterError where the schedule leaves no step for changing ranks. */
  constructor(
    private readonly sites: readonly Site[],
    settings: AdapterSettings,
    private readonly totalSteps: number,
  ) {
    const of = (key: string): number => Number(settings.settings[key]);
    this.#rank = of('init_r');
    this.#target = of('target_r');
    this.#interval = of('deltaT');
    this.#betas = [of('beta1'), of('beta2')];
    this.#tinit = Number(settings.settings.tinit ?? Math.floor(totalSteps / 10));
    this.#tfinal = Number(settings.settings.tfinal ?? Math.floor(totalSteps / 5));
    if (totalSteps > 0 && this.#tinit >= totalSteps - this.#tfinal) {
      throw new AdapterError({
        code: 'adalora-schedule',
        message: `The run has ${totalSteps} steps; tinit ${this.#tinit} and tfinal ${this.#tfinal} leave none for changing the ranks.`,
        remedy: `Set tinit and tfinal to less than ${totalSteps} together, or train longer.`,
      });
    }
  }

  afterUpdate(run: StepAccess): readonly string[] {
    const t = run.step - 1;
    const last = this.totalSteps - this.#tfinal;
    if (this.totalSteps === 0) return [];
    if (t > last) {
      run.write(this.#masked(run.parameters()));
      return [];
    }
    const parameters = run.parameters();
    if (t < last) this.#observe(parameters, run.gradients());
    const budget = this.#budget(t);
    if (t !== last && (t <= this.#tinit || t % this.#interval !== 0)) return [];
    const scores = this.sites.map((site) => this.#scores(site));
    const count = this.sites.length * this.#rank - budget;
    if (count <= 0) return [];
    const threshold = Float32Array.from(scores.flatMap((own) => [...own])).sort()[count - 1]!;
    this.#masks = Object.fromEntries(
      this.sites.map((site, i) => [`${site.path}.lora_E`, [...scores[i]!].map((score) => score > threshold)]),
    );
    run.write(this.#masked(parameters));
    return this.#report(run.step, t === last);
  }

  state(): HostState {
    const tensors = [...this.#statistics].flatMap(([name, { importance, uncertainty }]) => [
      { name: `importance/${name}`, shape: [importance.length], data: importance },
      { name: `uncertainty/${name}`, shape: [uncertainty.length], data: uncertainty },
    ]);
    const values = {
      totalSteps: this.totalSteps,
      tinit: this.#tinit,
      tfinal: this.#tfinal,
      ...(this.#masks ? { masks: this.#masks } : {}),
    };
    return { values, tensors };
  }

  restore({ values, tensors }: HostState): void {
    const masks = (values.masks ?? undefined) as Record<string, boolean[]> | undefined;
    for (const { path } of this.sites) {
      const mask = masks?.[`${path}.lora_E`];
      invariant(
        !masks || (Array.isArray(mask) && mask.length === this.#rank),
        `the mask of ${path} has ${this.#rank} entries`,
      );
    }
    this.#masks = masks;
    this.#statistics.clear();
    const found = new Map(tensors.map(({ name, data }) => [name, data]));
    for (const [name, importance] of found) {
      if (!name.startsWith('importance/')) continue;
      const own = name.slice('importance/'.length);
      const uncertainty = found.get(`uncertainty/${own}`);
      invariant(uncertainty?.length === importance.length, `${own} has both statistics`);
      this.#statistics.set(own, { importance, uncertainty });
    }
  }

  /** Ranks in all at 0-based step t: a cubic fall from init_r to target_r per module. */
  #budget(t: number): number {
    const [first, final] = [this.#rank, this.#target].map((r) => r * this.sites.length) as [number, number];
    const last = this.totalSteps - this.#tfinal;
    if (t <= this.#tinit) return first;
    if (t > last) return final;
    const left = 1 - (t - this.#tinit) / (last - this.#tinit);
    return Math.trunc((first - final) * left ** 3 + final);
  }

  #observe(
    parameters: ReadonlyMap<string, Float32Array>,
    gradients: ReadonlyMap<string, Float32Array>,
  ): void {
    const [beta1, beta2] = this.#betas;
    for (const { path } of this.sites) {
      for (const part of ['lora_A', 'lora_B', 'lora_E']) {
        const name = `${path}.${part}`;
        const [p, g] = [parameters.get(name)!, gradients.get(name)!];
        let own = this.#statistics.get(name);
        if (!own) {
          own = { importance: new Float32Array(p.length), uncertainty: new Float32Array(p.length) };
          this.#statistics.set(name, own);
        }
        const { importance, uncertainty } = own;
        for (let i = 0; i < p.length; i++) {
          const now = Math.abs(p[i]! * g[i]!);
          importance[i] = beta1 * importance[i]! + (1 - beta1) * now;
          uncertainty[i] = beta2 * uncertainty[i]! + (1 - beta2) * Math.abs(now - importance[i]!);
        }
      }
    }
  }

  /** A site's scores by triplet. */
  #scores({ path, inFeatures, outFeatures }: Site): Float32Array {
    const r = this.#rank;
    const element = (part: string): ((i: number) => number) => {
      const own = this.#statistics.get(`${path}.${part}`);
      return (i) => (own ? own.importance[i]! * own.uncertainty[i]! : 0);
    };
    const [a, b, e] = [element('lora_A'), element('lora_B'), element('lora_E')];
    return Float32Array.from({ length: r }, (_, k) => {
      let [row, column] = [0, 0];
      for (let i = 0; i < inFeatures; i++) row += a(k * inFeatures + i);
      for (let o = 0; o < outFeatures; o++) column += b(o * r + k);
      return e(k) + row / inFeatures + column / outFeatures;
    });
  }

  /** The E of every site with the masked triplets at zero. */
  #masked(parameters: ReadonlyMap<string, Float32Array>): Map<string, Float32Array> {
    return new Map(
      Object.entries(this.#masks ?? {}).map(([name, mask]) => [
        name,
        parameters.get(name)!.map((value, k) => (mask[k] ? value : 0)),
      ]),
    );
  }

  /** The distribution of ranks, each time that a tenth of what goes has gone, and at the end. */
  #report(step: number, final: boolean): string[] {
    const ranks = Object.entries(this.#masks!).map(
      ([name, mask]) => [name.replace(/\.lora_E$/, ''), mask.filter(Boolean).length] as const,
    );
    const total = ranks.reduce((sum, [, rank]) => sum + rank, 0);
    const tenth = ((this.#rank - this.#target) * this.sites.length) / 10;
    if (!final && total > this.#reported - tenth) return [];
    this.#reported = total;
    const shown = ranks.slice(0, 512).map(([path, rank]) => `${path} ${rank}`);
    return [`AdaLoRA keeps ${total} ranks after step ${step}: ${shown.join(', ')}.`];
  }
}
