// What a run carries from step to step, on the device: trained parameters, optimizer state, accumulated gradients. Reads and
// writes them by tensor name in the files' layout.
import type { PlannedTensor } from '../adapters/variant';
import { planSlabs, relayout, type Slab } from '../compile/slabs';
import { invariant } from '../errors';
import type { Optimizer } from '../optim/optimizer';
import { Random } from '../random';
import type { DeviceTensor, Runtime } from '../session';

export class TrainingState {
  readonly slabs: readonly Slab[];
  readonly #tensors = new Map<string, DeviceTensor>();

  private constructor(
    private readonly runtime: Runtime,
    trained: readonly PlannedTensor[],
    private readonly slots: readonly string[],
  ) {
    this.slabs = planSlabs(trained);
    for (const slab of this.slabs) {
      const learned = slab.frozen ? [] : ['gradient', ...slots].map((part) => `${slab.name}.${part}`);
      for (const name of [slab.name, ...learned]) {
        this.#tensors.set(name, runtime.allocate('float32', [slab.length]));
      }
    }
  }

  /** Fresh state: parameters initialised from the seed, moments zero. */
  static async initial(
    runtime: Runtime,
    trained: readonly PlannedTensor[],
    optimizer: Optimizer,
    seed: number,
    base: (tensor: string) => Promise<Float32Array>,
  ): Promise<TrainingState> {
    const state = new TrainingState(runtime, trained, optimizer.slots);
    for (const slab of state.slabs) {
      const data = new Float32Array(slab.length);
      for (const { tensor, offset } of slab.entries) {
        const values = await tensor.initial(new Random(seed, 'initialisation'), base);
        data.set(relayout(values, tensor, 'to-device'), offset);
      }
      runtime.write(state.#tensors.get(slab.name)!, data);
    }
    return state;
  }

  /** Bindings of the gradient graph. Without accumulation, gradients are written afresh. */
  gradientBindings(): [string, DeviceTensor][] {
    return this.slabs.flatMap((slab): [string, DeviceTensor][] => {
      if (slab.frozen) return [[slab.name, this.#tensors.get(slab.name)!]];
      const gradient = this.#tensors.get(`${slab.name}.gradient`)!;
      return [
        [slab.name, this.#tensors.get(slab.name)!],
        [`${slab.name}.gradient`, gradient],
        [`${slab.name}.gradient.next`, gradient],
      ] as [string, DeviceTensor][];
    });
  }

  /** Bindings of the update graph: state in place. */
  updateBindings(): [string, DeviceTensor][] {
    const frozen = new Set(this.slabs.filter((slab) => slab.frozen).map((slab) => slab.name));
    const learned = [...this.#tensors].filter(([name]) => !frozen.has(name));
    return learned.flatMap(([name, tensor]) => [
      [name, tensor] as [string, DeviceTensor],
      ...(name.endsWith('.gradient') ? [] : [[`${name}.next`, tensor] as [string, DeviceTensor]]),
    ]);
  }

  parameterBindings(): [string, DeviceTensor][] {
    return this.slabs.map((slab) => [slab.name, this.#tensors.get(slab.name)!]);
  }

  /** A trained tensor's values in the file's layout; `slot` reads optimizer state of the same shape instead. */
  read(name: string, slot?: string): Float32Array {
    const { slab, entry } = this.#find(name);
    const data = this.runtime.read(
      this.#tensors.get(slot ? `${slab.name}.${slot}` : slab.name)!,
    ) as Float32Array;
    return relayout(data.slice(entry.offset, entry.offset + entry.count), entry.tensor, 'to-file');
  }

  /** All parameters, or all of one optimizer slot, by name in the file's layout: one transfer a slab. */
  readAll(slot?: string): Map<string, Float32Array> {
    const all = new Map<string, Float32Array>();
    for (const slab of this.slabs) {
      if (slot && slab.frozen) continue;
      const data = this.runtime.read(
        this.#tensors.get(slot ? `${slab.name}.${slot}` : slab.name)!,
      ) as Float32Array;
      for (const { tensor, offset, count } of slab.entries) {
        all.set(tensor.name, relayout(data.slice(offset, offset + count), tensor, 'to-file'));
      }
    }
    return all;
  }

  /** Puts values in the files' layout in place; every trained tensor must be there. */
  writeAll(values: ReadonlyMap<string, Float32Array>, slot?: string): void {
    for (const slab of this.slabs) {
      if (slot && slab.frozen) continue;
      const data = new Float32Array(slab.length);
      for (const { tensor, offset, count } of slab.entries) {
        const source = values.get(tensor.name);
        invariant(source?.length === count, `${tensor.name} has ${count} values`);
        data.set(relayout(source, tensor, 'to-device'), offset);
      }
      this.runtime.write(this.#tensors.get(slot ? `${slab.name}.${slot}` : slab.name)!, data);
    }
  }

  /** Puts some values in the files' layout in place; `slot` as for `read`. */
  write(values: ReadonlyMap<string, Float32Array>, slot?: string): void {
    for (const slab of this.slabs) {
      const given = slab.entries.filter(({ tensor }) => values.has(tensor.name));
      if (given.length === 0 || (slot && slab.frozen)) continue;
      const target = this.#tensors.get(slot ? `${slab.name}.${slot}` : slab.name)!;
      const data =
        given.length === slab.entries.length
          ? new Float32Array(slab.length)
          : (this.runtime.read(target) as Float32Array).slice();
      for (const { tensor, offset, count } of given) {
        const source = values.get(tensor.name)!;
        invariant(source.length === count, `${tensor.name} has ${count} values`);
        data.set(relayout(source, tensor, 'to-device'), offset);
      }
      this.runtime.write(target, data);
    }
  }

  /** State vectors of the optimizer. */
  get optimizerSlots(): readonly string[] {
    return this.slots;
  }

  release(): void {
    for (const tensor of this.#tensors.values()) tensor.release();
  }

  #find(name: string) {
    for (const slab of this.slabs) {
      const entry = slab.entries.find(({ tensor }) => tensor.name === name);
      if (entry) return { slab, entry };
    }
    throw new Error(`${name} is not trained.`);
  }
}
