// The adapters that a generator runs with, on the device: slots that any LoRA form is written into, or one method in its
// own form. What comes in are loaded adapters; what goes out is what graphs need to hold them and the tensors to bind.
import type { LoadedAdapter } from '../adapters/loaded';
import type { GenerationGraphOptions } from '../compile/generationGraph';
import { slabViews } from '../compile/slabs';
import { invariant } from '../errors';
import type { BaseWeights } from '../execution/baseWeights';
import { type Parameters, uploadParameters } from '../execution/evaluator';
import type { Model } from '../models/architecture';
import type { DeviceTensor, Runtime } from '../session';
import {
  factorData,
  factorShapes,
  grown,
  hasForm,
  noSlots,
  replacedInput,
  rowSlotValues,
  type SlotLayout,
  type SlotValues,
  slotPlan,
  slotValues,
} from './slots';

export class AdapterMount {
  #layout: SlotLayout = noSlots;
  #native: Parameters | undefined;
  readonly #factors = new Map<string, DeviceTensor>();
  /** Module paths whose factors are not zero. */
  #filled = new Set<string>();
  /** By base parameter: what adapters put in its place. */
  #replacements = new Map<string, DeviceTensor>();
  /** By base parameter: values of a weight in four bits whose place another adapter has taken. */
  readonly #unpacked = new Map<string, DeviceTensor>();

  constructor(
    private readonly runtime: Runtime,
    private readonly model: Model,
    private readonly weights: Pick<BaseWeights, 'tensor' | 'fromValues' | 'packed' | 'values'>,
    private readonly live?: Parameters,
  ) {}

  /** What the generation graph needs to carry the adapters. */
  get forGraph(): GenerationGraphOptions['adapters'] {
    const native = this.live ?? this.#native;
    if (native) return { plan: native.plan, trained: (b) => slabViews(b, native.slabs) };
    return this.#layout === noSlots ? undefined : slotPlan(this.#layout);
  }

  /**
   * Puts these adapters, added together by their weights, in place of those before; none for the base model. Returns true
   * where graphs built before cannot carry them. Throws AdapterError for adapters that cannot be combined.
   */
  put(adapters: readonly LoadedAdapter[], weights: readonly number[] = adapters.map(() => 1)): boolean {
    invariant(!this.live, 'a generator of a training run has the adapter of the run');
    const acting = adapters.filter((_, i) => weights[i] !== 0);
    const [first] = acting;
    if (first && !hasForm(first) && acting.length === 1 && weights[adapters.indexOf(first)] === 1) {
      this.#releaseNative();
      this.#native = uploadParameters(this.runtime, first.plan, first.values);
      return true;
    }
    return this.#place(
      slotValues(
        acting,
        weights.filter((weight) => weight !== 0),
      ),
    );
  }

  /** Puts adapters in place of those before, of which every row takes what its weights say; all of them `servesRows`. */
  offer(adapters: readonly LoadedAdapter[]): boolean {
    invariant(!this.live, 'a generator of a training run has the adapter of the run');
    return this.#place(rowSlotValues(adapters));
  }

  /** How many adapters each row weighs; 0 where all rows have the same. */
  get choices(): number {
    return this.#native ? 0 : this.#layout.choices;
  }

  #place(values: SlotValues): boolean {
    const layout = grown(this.#layout, values);
    const rebuild = layout !== this.#layout || this.#native !== undefined;
    this.#releaseNative();
    if (layout !== this.#layout) this.#allocate(layout);
    this.#write(values);
    return rebuild;
  }

  /** Every input of the adapters, by name. */
  async bindings(): Promise<Map<string, DeviceTensor>> {
    const native = this.live ?? this.#native;
    if (native) return new Map(native.bindings);
    return new Map([...this.#factors, ...(await this.replaced())]);
  }

  /** The inputs of swappable base parameters: an adapter's tensor, or the checkpoint's. */
  async replaced(): Promise<[string, DeviceTensor][]> {
    if (this.live ?? this.#native) return [];
    return Promise.all(
      [...this.#layout.replaced.keys()].map(
        async (parameter) =>
          [replacedInput(parameter), this.#replacements.get(parameter) ?? (await this.#base(parameter))] as [
            string,
            DeviceTensor,
          ],
      ),
    );
  }

  release(): void {
    this.#releaseNative();
    for (const tensors of [this.#factors, this.#replacements, this.#unpacked]) {
      for (const tensor of tensors.values()) tensor.release();
      tensors.clear();
    }
  }

  /** The base's own tensor for a parameter that the graph takes whole; of a weight in four bits its values. */
  async #base(parameter: string): Promise<DeviceTensor> {
    const name = this.#baseTensor(parameter);
    if (!this.weights.packed.has(name)) return this.weights.tensor(name);
    const known = this.#unpacked.get(parameter);
    if (known) return known;
    const made = this.weights.fromValues(
      this.#layout.replaced.get(parameter)!,
      await this.weights.values(name),
    );
    this.#unpacked.set(parameter, made);
    return made;
  }

  #allocate(layout: SlotLayout): void {
    for (const tensor of this.#factors.values()) tensor.release();
    this.#factors.clear();
    for (const [name, shape] of factorShapes(layout))
      this.#factors.set(name, this.runtime.allocate('float32', shape));
    this.#filled = new Set();
    this.#layout = layout;
  }

  #write(values: SlotValues): void {
    for (const [path, slot] of this.#layout.sites) {
      const form = values.forms.get(path);
      if (!form && !this.#filled.has(path)) continue;
      for (const [name, data] of factorData(slot, form, this.#layout.choices))
        this.runtime.write(this.#factors.get(name)!, data);
      if (form) this.#filled.add(path);
      else this.#filled.delete(path);
    }
    const before = this.#replacements;
    this.#replacements = new Map(
      [...values.replaced].map(([parameter, { shape, data }]) => [
        parameter,
        this.weights.fromValues(shape, data),
      ]),
    );
    // Sessions that still bind them keep the memory until they are bound to the new ones.
    for (const tensor of before.values()) tensor.release();
  }

  #releaseNative(): void {
    for (const [, tensor] of this.#native?.bindings ?? []) tensor.release();
    this.#native = undefined;
  }

  #baseTensor(parameter: string): string {
    const module = this.model.modules.find(({ path }) => parameter === `${path}.weight`);
    return module && 'weight' in module ? module.weight : parameter;
  }
}
