// A checkpoint's weights on the device, each tensor once, shared by every program of a run. Tensors of the compute type are
// the file itself, mapped; others are converted once, in memory. Nothing is written anywhere: a run that changes its
// base (PiSSA, LoftQ) puts other values in a tensor's place in memory.

import { floatsIn } from '../checkpoint/floats';
import type { Checkpoint } from '../checkpoint/folder';
import { readTensor, type TensorRef } from '../checkpoint/safetensors';
import { resolveNames, verifyTensors } from '../checkpoint/verify';
import { dtypes } from '../dtype';
import { invariant } from '../errors';
import { type Precision, singlePrecision } from '../graph/precision';
import { type Model, modelTensors } from '../models/architecture';
import type { DeviceTensor, MappedFile, Runtime } from '../session';

/**
 * The checkpoint's tensors under the model's names. Reads no weights.
 * @throws CheckpointError that lists every difference between the two.
 */
export function tensorsOf(checkpoint: Checkpoint, model: Model): ReadonlyMap<string, TensorRef> {
  const expected = modelTensors(model);
  const resolved = resolveNames(checkpoint.tensors, expected, model.basePrefix);
  // A tied head may be stored all the same; it is the embedding again.
  const tiedHead = (name: string): boolean => model.tied && name === 'lm_head.weight';
  verifyTensors({ ...checkpoint, tensors: resolved }, expected, {
    ignorable: (name) => model.ignorable.test(name) || tiedHead(name),
  });
  return resolved;
}

export class BaseWeights {
  readonly #loaded = new Map<string, Promise<DeviceTensor>>();
  readonly #files = new Map<string, MappedFile>();

  private constructor(
    private readonly runtime: Runtime,
    private readonly tensors: ReadonlyMap<string, TensorRef>,
    /** What the programs that take the weights compute in. */
    readonly precision: Precision,
  ) {}

  /** Checks the checkpoint against the model; raises one CheckpointError that lists every difference. */
  static of(
    runtime: Runtime,
    checkpoint: Checkpoint,
    model: Model,
    precision: Precision = singlePrecision,
  ): BaseWeights {
    return new BaseWeights(runtime, tensorsOf(checkpoint, model), precision);
  }

  /** The tensor on the device, in the compute type. */
  tensor(name: string): Promise<DeviceTensor> {
    let loading = this.#loaded.get(name);
    if (!loading) {
      loading = this.#load(this.#ref(name));
      this.#loaded.set(name, loading);
    }
    return loading;
  }

  /**
   * Puts other values in a tensor's place, for every program that is opened from now on; the file stays as it is. Before
   * the first of them: a program keeps the tensor that it was opened with.
   */
  replace(name: string, values: Float32Array): void {
    const { shape } = this.#ref(name);
    void this.#loaded.get(name)?.then((tensor) => tensor.release());
    this.#loaded.set(name, Promise.resolve(this.fromValues(shape, values)));
  }

  /** A tensor of the compute type on the device. The caller releases it. */
  fromValues(shape: readonly number[], values: Float32Array): DeviceTensor {
    const { compute } = this.precision;
    return this.runtime.fromHost(compute, shape, floatsIn(compute, values));
  }

  /** The checkpoint's values on the host, fp32, whatever stands in their place. */
  values(name: string): Promise<Float32Array> {
    return readTensor(this.#ref(name));
  }

  release(): void {
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
    let file = this.#files.get(ref.file);
    if (!file) {
      file = this.runtime.mapFile(ref.file);
      this.#files.set(ref.file, file);
    }
    return this.runtime.mapped(file, ref.offset, compute, ref.shape);
  }
}
