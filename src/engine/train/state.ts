// What a run carries from step to step: trained parameters, optimizer state, accumulated gradients. On the device, but for the
// state of paged slabs, which may lie in host memory or in a file. Reads and writes by tensor name in the files' layout.
import type { PlannedTensor } from '../adapters/variant';
import { deviceShape, relayout, type Slab, type SlabEntry } from '../compile/slabs';
import { elements } from '../dtype';
import { invariant } from '../errors';
import { isPaged, type Paging } from '../execution/paging';
import type { Optimizer, OptimizerSettings, Slot } from '../optim/optimizer';
import { optimizerOf, slabsFor } from '../optim/registry';
import { Random } from '../random';
import type { DeviceTensor, HostArray, Runtime } from '../session';

/** One tensor of a checkpoint's optimizer state. */
export interface StateTensor {
  /** `<slot>/<tensor>` */
  name: string;
  shape: readonly number[];
  dtype: 'F32' | 'U8';
}

export class TrainingState {
  readonly slabs: readonly Slab[];
  readonly #optimizer: Optimizer;
  readonly #tensors = new Map<string, DeviceTensor>();
  /** Where new values are written before they take the old ones' place; empty where state is updated in place. */
  readonly #aside = new Map<string, DeviceTensor>();
  /** State of slabs that are moved through a window. */
  readonly #paged = new Map<string, HostArray>();

  private constructor(
    private readonly runtime: Runtime,
    trained: readonly PlannedTensor[],
    private readonly settings: OptimizerSettings,
    paging: Paging,
    /** Whether new values take the old ones' buffers. */
    readonly inPlace: boolean,
  ) {
    this.#optimizer = optimizerOf(settings.optim);
    this.slabs = slabsFor(trained, settings);
    for (const slab of this.slabs) {
      const parts = slab.frozen ? [slab.name] : [slab.name, `${slab.name}.gradient`];
      for (const name of parts) this.#tensors.set(name, runtime.allocate('float32', [slab.length]));
      for (const { name: slot, dtype, shape } of this.slotsOf(slab)) {
        const name = `${slab.name}.${slot}`;
        const paged = isPaged(slab, this.#optimizer);
        if (paged && paging.place === 'host') {
          const count = elements(shape);
          this.#paged.set(name, dtype === 'uint8' ? new Uint8Array(count) : new Float32Array(count));
        } else if (paged && paging.place === 'file') {
          this.#tensors.set(name, runtime.inFile(paging.folder, dtype, shape));
        } else this.#tensors.set(name, runtime.allocate(dtype, shape));
      }
    }
    if (inPlace) return;
    for (const [name, { dtype, shape }] of this.#tensors)
      this.#aside.set(name, runtime.allocate(dtype, shape));
  }

  /**
   * Fresh state: parameters initialised from the seed, moments zero.
   * @param inPlace false keeps a second buffer for everything that a program changes: nothing is read that may have been
   *   written already. Slower and larger; it is there to prove that updates in place give the same bits.
   */
  static async initial(
    runtime: Runtime,
    trained: readonly PlannedTensor[],
    settings: OptimizerSettings,
    seed: number,
    base: (tensor: string) => Promise<Float32Array>,
    paging: Paging = { place: 'device' },
    inPlace = true,
  ): Promise<TrainingState> {
    const state = new TrainingState(runtime, trained, settings, paging, inPlace);
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

  slotsOf(slab: Slab): readonly Slot[] {
    return slab.frozen ? [] : this.#optimizer.slots(slab, this.settings);
  }

  /** Whether a slab's state is moved through a window. */
  isStreamed(slab: Slab): boolean {
    return this.slotsOf(slab).some(({ name }) => this.#paged.has(`${slab.name}.${name}`));
  }

  /** A slab's parameters, or its `gradient`, or a slot, on the device. */
  tensor(slab: Slab, part?: string): DeviceTensor {
    const tensor = this.#tensors.get(part ? `${slab.name}.${part}` : slab.name);
    invariant(tensor, `${slab.name} has ${part ?? 'parameters'} on the device`);
    return tensor;
  }

  /** A streamed slab's slot in host memory. */
  pagedSlot(slab: Slab, slot: string): HostArray {
    return this.#paged.get(`${slab.name}.${slot}`)!;
  }

  /** Bindings of the gradient graph. Without accumulation, gradients are written afresh. */
  gradientBindings(): [string, DeviceTensor][] {
    return this.slabs.flatMap((slab): [string, DeviceTensor][] => {
      if (slab.frozen) return [[slab.name, this.#tensors.get(slab.name)!]];
      const gradient = this.#tensors.get(`${slab.name}.gradient`)!;
      return [
        [slab.name, this.#tensors.get(slab.name)!],
        [`${slab.name}.gradient`, gradient],
        [`${slab.name}.gradient.next`, this.#aside.get(`${slab.name}.gradient`) ?? gradient],
      ] as [string, DeviceTensor][];
    });
  }

  /** After a run of a program that changes the state: puts what it wrote aside in place. */
  settle(program: { writes(name: string): boolean }): void {
    for (const [name, aside] of this.#aside)
      if (program.writes(`${name}.next`)) this.runtime.copy(aside, this.#tensors.get(name)!);
  }

  /** Bindings of the update graph: state in place. */
  updateBindings(): [string, DeviceTensor][] {
    const frozen = new Set(this.slabs.filter((slab) => slab.frozen).map((slab) => slab.name));
    const learned = [...this.#tensors].filter(([name]) => !frozen.has(name));
    return learned.flatMap(([name, tensor]) => [
      [name, tensor] as [string, DeviceTensor],
      ...(name.endsWith('.gradient')
        ? []
        : [[`${name}.next`, this.#aside.get(name) ?? tensor] as [string, DeviceTensor]]),
    ]);
  }

  parameterBindings(): [string, DeviceTensor][] {
    return this.slabs.map((slab) => [slab.name, this.#tensors.get(slab.name)!]);
  }

  /** All parameters, or all gradients, by name in the file's layout: one transfer a slab. */
  readAll(part?: 'gradient'): Map<string, Float32Array> {
    const all = new Map<string, Float32Array>();
    for (const slab of this.slabs) {
      if (part && slab.frozen) continue;
      const data = this.runtime.read(this.tensor(slab, part)) as Float32Array;
      for (const { tensor, offset, count } of slab.entries) {
        all.set(tensor.name, relayout(data.slice(offset, offset + count), tensor, 'to-file'));
      }
    }
    return all;
  }

  /** A trained tensor's values, or its gradient's, in the file's layout. */
  read(name: string, part?: 'gradient'): Float32Array {
    const slab = this.slabs.find(({ entries }) => entries.some(({ tensor }) => tensor.name === name));
    const entry = slab?.entries.find(({ tensor }) => tensor.name === name);
    invariant(slab && entry, `${name} is trained`);
    const data = this.runtime.read(this.tensor(slab, part)) as Float32Array;
    return relayout(data.slice(entry.offset, entry.offset + entry.count), entry.tensor, 'to-file');
  }

  /** Puts all parameters in the files' layout in place; every trained tensor must be there. */
  writeAll(values: ReadonlyMap<string, Float32Array>): void {
    for (const { entries } of this.slabs)
      for (const { tensor } of entries) invariant(values.has(tensor.name), `${tensor.name} has values`);
    this.write(values);
  }

  /** Puts some parameters in the files' layout in place. */
  write(values: ReadonlyMap<string, Float32Array>): void {
    for (const slab of this.slabs) {
      const given = slab.entries.filter(({ tensor }) => values.has(tensor.name));
      if (given.length === 0) continue;
      const target = this.tensor(slab);
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

  /** The recipe's `optim`. */
  get optim(): string {
    return this.settings.optim;
  }

  /** What a checkpoint holds of the optimizer. */
  optimizerTensors(): StateTensor[] {
    return this.#walk().map(({ slab, slot, entry, index }) => ({
      name: `${slot.name}/${entry.tensor.name}`,
      shape: slot.perElement
        ? entry.tensor.shape
        : slab.entries.length === 1
          ? slot.shape
          : [slot.counts[index]!],
      dtype: slot.dtype === 'uint8' ? 'U8' : 'F32',
    }));
  }

  /** The optimizer's state by the names of `optimizerTensors`. */
  readOptimizer(): Map<string, HostArray> {
    const all = new Map<string, HostArray>();
    let last: { key: string; data: HostArray } | undefined;
    for (const { slab, slot, entry, from, to } of this.#walk()) {
      const key = `${slab.name}.${slot.name}`;
      if (last?.key !== key) last = { key, data: this.#read(key) };
      const part = last.data.slice(from, to) as HostArray;
      all.set(
        `${slot.name}/${entry.tensor.name}`,
        slot.perElement ? relayout(part as Float32Array, entry.tensor, 'to-file') : part,
      );
    }
    return all;
  }

  /** Puts optimizer state in place, by the names of `optimizerTensors`; names that are left out stay. */
  writeOptimizer(values: ReadonlyMap<string, HostArray>): void {
    const changed = new Map<string, HostArray>();
    for (const { slab, slot, entry, from, to } of this.#walk()) {
      const source = values.get(`${slot.name}/${entry.tensor.name}`);
      if (!source) continue;
      invariant(source.length === to - from, `${slot.name} of ${entry.tensor.name} has ${to - from} values`);
      const key = `${slab.name}.${slot.name}`;
      if (!changed.has(key)) changed.set(key, this.#read(key).slice() as HostArray);
      const part = slot.perElement ? relayout(source as Float32Array, entry.tensor, 'to-device') : source;
      (changed.get(key) as Float32Array).set(part as Float32Array, from);
    }
    for (const [key, data] of changed) {
      const paged = this.#paged.get(key);
      if (paged) (paged as Float32Array).set(data as Float32Array);
      else this.runtime.write(this.#tensors.get(key)!, data);
    }
  }

  /** Sets the optimizer's state of these tensors to zero. */
  resetOptimizer(names: readonly string[]): void {
    const chosen = new Set(names);
    const zeros = new Map<string, HostArray>();
    for (const { slot, entry, from, to } of this.#walk()) {
      if (!chosen.has(entry.tensor.name)) continue;
      const count = to - from;
      zeros.set(
        `${slot.name}/${entry.tensor.name}`,
        slot.dtype === 'uint8' ? new Uint8Array(count) : new Float32Array(count),
      );
    }
    this.writeOptimizer(zeros);
  }

  release(): void {
    for (const tensor of [...this.#tensors.values(), ...this.#aside.values()]) tensor.release();
  }

  #read(key: string): HostArray {
    return this.#paged.get(key) ?? this.runtime.read(this.#tensors.get(key)!);
  }

  /** Every entry of every slot, slot by slot. */
  #walk(): { slab: Slab; slot: Slot; entry: SlabEntry; index: number; from: number; to: number }[] {
    return this.slabs.flatMap((slab) =>
      this.slotsOf(slab).flatMap((slot) => {
        let at = 0;
        return slab.entries.map((entry, index) => {
          const from = at;
          at += slot.counts[index]!;
          return { slab, slot, entry, index, from, to: at };
        });
      }),
    );
  }
}

/** Rows and columns of a matrix slab. */
export function matrixShape(slab: Slab): readonly [number, number] {
  const [rows, columns] = deviceShape(slab.entries[0]!.tensor);
  invariant(slab.entries.length === 1 && rows && columns, `${slab.name} is one matrix`);
  return [rows, columns];
}
