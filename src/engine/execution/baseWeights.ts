// A checkpoint's weights on the device, each tensor once, shared by every program of a run. Tensors of the compute type are
// the file itself, mapped; others are converted once, in memory, and weights in four bits are quantised one after the other.
// Nothing is written anywhere: a run that changes its base (PiSSA, LoftQ) puts other values in a tensor's place in memory.

import { baseTensors, packable } from '../checkpoint/baseTensors';
import { floatsIn } from '../checkpoint/floats';
import type { Checkpoint } from '../checkpoint/folder';
import type { PackedTensor } from '../checkpoint/packed';
import { readRaw, readTensor, type TensorRef } from '../checkpoint/safetensors';
import type { PackedWeights } from '../compile/forward';
import { joiningOf } from '../compile/projections';
import { byteSize, type DType, dtypes } from '../dtype';
import { invariant } from '../errors';
import type { Joining, JoinRule } from '../graph/passes/join';
import { type Precision, precisionFor } from '../graph/precision';
import type { Model } from '../models/architecture';
import {
  fromParts,
  type PackedForm,
  type PackedWeight,
  packedParts,
  packWeight,
  partData,
  type QuantFormat,
  turned,
  unpackWeight,
} from '../quantization/packedWeight';
import type { DeviceTensor, MappedFile, Runtime } from '../session';
import { JoinedWeights } from './joinedWeights';
import { joinRule } from './joining';

/** How a run holds the weights of its linear modules in four bits. */
export interface BaseQuantization {
  format: QuantFormat;
  /** Weights that stay whole: those that train. */
  except?: ReadonlySet<string>;
}

export class BaseWeights {
  readonly #loaded = new Map<string, Promise<DeviceTensor>>();
  readonly #files = new Map<string, MappedFile>();
  readonly #forms: Map<string, PackedForm>;
  /** The tensors of weights in four bits, as `packedParts` lists them. */
  readonly #parts = new Map<string, Promise<DeviceTensor[]>>();
  /** Input name of a part → its weight. */
  readonly #weightOf = new Map<string, { weight: string; part: number }>();
  /** Ends when the weights asked for so far are packed: one at a time, so that one is whole in memory. */
  #packing: Promise<unknown> = Promise.resolve();
  /** Weights that lie one behind the other; undefined where each has its own tensor. */
  readonly #joined: JoinedWeights | undefined;

  private constructor(
    private readonly runtime: Runtime,
    private readonly tensors: ReadonlyMap<string, TensorRef>,
    /** Weights that the checkpoint has in four bits. */
    private readonly stored: ReadonlyMap<string, PackedTensor>,
    forms: ReadonlyMap<string, PackedForm>,
    /** What the programs that take the weights compute in. */
    readonly precision: Precision,
    joining: Joining | undefined,
  ) {
    this.#forms = new Map();
    for (const [name, form] of forms) this.#setForm(name, form);
    this.#joined =
      joining &&
      new JoinedWeights(runtime, joining, precision.compute, (name) => ({
        shape: this.#ref(name).shape,
        load: () => this.#bytes(this.#ref(name)),
      }));
  }

  /**
   * Checks the checkpoint against the model; raises one CheckpointError that lists every difference.
   * @param quantization has no say where the checkpoint itself is in four bits.
   * @param rule which products of one activation are joined; undefined for none.
   */
  static of(
    runtime: Runtime,
    checkpoint: Checkpoint,
    model: Model,
    precision: Precision = precisionFor('float32', runtime.device.kind),
    quantization?: BaseQuantization,
    rule: JoinRule | undefined = joinRule(runtime.device.kind),
  ): BaseWeights {
    const { tensors, packed } = baseTensors(checkpoint, model);
    const forms = packedForms(model, packed, quantization);
    return new BaseWeights(runtime, tensors, packed, forms, precision, joiningOf(model, forms, rule));
  }

  /** The products that programs on these weights join. */
  get joining(): Joining | undefined {
    return this.#joined?.joining;
  }

  /** The forms of the weights that lie in four bits now; their parts are tensors of their own. */
  get packed(): PackedWeights {
    return this.#forms;
  }

  /** The tensor on the device, in the compute type; of a weight in four bits the part of that name. `joinedName`s too. */
  async tensor(name: string): Promise<DeviceTensor> {
    const joined = this.#joined?.tensor(name);
    if (joined) return joined;
    const part = this.#weightOf.get(name);
    if (part) return (await this.#packedTensors(part.weight))[part.part]!;
    return this.#whole(name);
  }

  #whole(name: string): Promise<DeviceTensor> {
    let loading = this.#loaded.get(name);
    if (!loading) {
      loading = this.#load(this.#ref(name));
      this.#loaded.set(name, loading);
    }
    return loading;
  }

  /**
   * Puts other values in a tensor's place, for every program that is opened from now on; the file stays as it is. Before
   * the first of them: a program keeps the tensor that it was opened with. A weight in four bits is quantised again.
   */
  replace(name: string, values: Float32Array): void {
    const form = this.#forms.get(name);
    if (form) {
      this.replacePacked(name, packWeight(outByIn(values, form), form));
      return;
    }
    const { compute } = this.precision;
    if (this.#joined?.replace(name, floatsIn(compute, values))) return;
    const { shape } = this.#ref(name);
    void this.#loaded.get(name)?.then((tensor) => tensor.release());
    this.#loaded.set(name, Promise.resolve(this.fromValues(shape, values)));
  }

  /** Puts a weight in four bits in a tensor's place, whatever was there; as `replace`. */
  replacePacked(name: string, weight: PackedWeight): void {
    this.#joined?.dissolve(name);
    void this.#loaded.get(name)?.then((tensor) => tensor.release());
    this.#loaded.delete(name);
    void this.#parts.get(name)?.then(releaseAll);
    this.#setForm(name, weight);
    this.#parts.set(name, Promise.resolve(this.#upload(weight)));
  }

  /** A tensor of the compute type on the device. The caller releases it. */
  fromValues(shape: readonly number[], values: Float32Array): DeviceTensor {
    const { compute } = this.precision;
    return this.runtime.fromHost(compute, shape, floatsIn(compute, values));
  }

  /** The checkpoint's values on the host, fp32, whatever stands in their place; of a weight in four bits those it has. */
  async values(name: string): Promise<Float32Array> {
    const form = this.#forms.get(name);
    if (!form) return readTensor(this.#ref(name));
    const parts = (await this.#packedTensors(name)).map((tensor) => this.runtime.read(tensor));
    const values = unpackWeight(fromParts(form, parts));
    return form.transposed ? turned(values, form.outFeatures, form.inFeatures) : values;
  }

  /** The values before this run quantised them. */
  original(name: string): Promise<Float32Array> {
    return this.stored.has(name) ? this.values(name) : readTensor(this.#ref(name));
  }

  release(): void {
    this.#joined?.release();
    for (const loading of this.#parts.values()) void loading.then(releaseAll);
    this.#parts.clear();
    for (const loading of this.#loaded.values()) void loading.then((tensor) => tensor.release());
    for (const file of this.#files.values()) file.release();
    this.#loaded.clear();
    this.#files.clear();
  }

  #ref(name: string): TensorRef {
    const ref = this.tensors.get(name);
    invariant(ref, `${name} is in the checkpoint that was verified`);
    return ref;
  }

  async #load(ref: TensorRef): Promise<DeviceTensor> {
    const { compute } = this.precision;
    if (ref.dtype !== dtypes[compute].safetensors) return this.fromValues(ref.shape, await readTensor(ref));
    return this.#mapped(ref, compute, ref.shape);
  }

  /** A tensor's values in the compute type, on the host. */
  async #bytes(ref: TensorRef): Promise<ArrayBufferView> {
    const { compute } = this.precision;
    return ref.dtype === dtypes[compute].safetensors
      ? readRaw(ref)
      : floatsIn(compute, await readTensor(ref));
  }

  /** A tensor that is the file itself. */
  #mapped(ref: TensorRef, dtype: DType, shape: readonly number[]): DeviceTensor {
    let file = this.#files.get(ref.file);
    if (!file) {
      file = this.runtime.mapFile(ref.file);
      this.#files.set(ref.file, file);
    }
    return this.runtime.mapped(file, ref.offset, dtype, shape);
  }

  #setForm(name: string, form: PackedForm): void {
    this.#forms.set(name, form);
    packedParts(form).forEach(({ suffix }, part) => {
      this.#weightOf.set(`${name}${suffix}`, { weight: name, part });
    });
  }

  #packedTensors(name: string): Promise<DeviceTensor[]> {
    let loading = this.#parts.get(name);
    if (!loading) {
      loading = this.#packing.then(() => this.#pack(name));
      this.#packing = loading.catch(() => {});
      this.#parts.set(name, loading);
    }
    return loading;
  }

  async #pack(name: string): Promise<DeviceTensor[]> {
    const form = this.#forms.get(name)!;
    const stored = this.stored.get(name);
    if (!stored) {
      const values = await readTensor(this.#ref(name));
      return this.#upload(packWeight(outByIn(values, form), form));
    }
    const refs = [stored.codes, stored.absmax, ...(stored.nestedAbsmax ? [stored.nestedAbsmax] : [])];
    return Promise.all(
      packedParts(form).map(async ({ dtype, shape }, i) => {
        const ref = refs[i];
        if (!ref) return this.runtime.fromHost(dtype, shape, Float32Array.of(stored.offset));
        if (ref.bytes === byteSize(dtype, shape)) return this.#mapped(ref, dtype, shape);
        // Whole blocks on the device, of which the file has the part that counts.
        const bytes = new Uint8Array(byteSize(dtype, shape));
        bytes.set(await readRaw(ref));
        return this.runtime.fromHost(dtype, shape, bytes);
      }),
    );
  }

  #upload(weight: PackedWeight): DeviceTensor[] {
    const data = partData(weight);
    return packedParts(weight).map(({ dtype, shape }, i) => this.runtime.fromHost(dtype, shape, data[i]!));
  }
}

/** The weights of a run whose start may change them. */
export type ChangeableWeights = Pick<
  BaseWeights,
  'values' | 'original' | 'tensor' | 'replace' | 'replacePacked' | 'precision' | 'packed'
>;

function releaseAll(tensors: readonly DeviceTensor[]): void {
  for (const tensor of tensors) tensor.release();
}

/** A weight as the checkpoint has it → [out, in]. */
function outByIn(values: Float32Array, { transposed, inFeatures, outFeatures }: PackedForm): Float32Array {
  return transposed ? turned(values, inFeatures, outFeatures) : values;
}

/** The forms of a run's weights in four bits: the checkpoint's own, or else what the run asks for. */
export function packedForms(
  model: Model,
  stored: ReadonlyMap<string, PackedTensor>,
  quantization?: BaseQuantization,
): Map<string, PackedForm> {
  const forms = new Map<string, PackedForm>();
  const layouts = packable(model);
  for (const module of model.modules) {
    const layout = 'weight' in module ? layouts.get(module.weight) : undefined;
    if (!layout || module.kind === 'embedding' || !('weight' in module)) continue;
    const { weight, inFeatures, outFeatures } = module;
    const size = { inFeatures, outFeatures, transposed: layout === 'conv1d' };
    const own = stored.get(weight);
    if (own) {
      const { quantType, blockSize, doubleQuant } = own;
      forms.set(weight, { quantType, blockSize, doubleQuant, ...size });
    } else if (stored.size === 0 && quantization && !quantization.except?.has(weight))
      forms.set(weight, { ...quantization.format, ...size });
  }
  return forms;
}
