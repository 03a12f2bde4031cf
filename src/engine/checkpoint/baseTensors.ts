// A checkpoint's tensors as a model names them, checked against it: whole ones, and weights in bitsandbytes' four bits.
import type { Model } from '../models/architecture';
import { modelTensors } from '../models/architecture';
import type { Checkpoint } from './folder';
import { type PackedTensor, refuseForeignQuantization } from './packed';
import type { TensorRef } from './safetensors';
import { resolveNames, verifyTensors } from './verify';

export interface BaseTensors {
  /** By the model's names. Of a weight in four bits: its codes. */
  tensors: ReadonlyMap<string, TensorRef>;
  /** Weights in four bits, by the model's names. */
  packed: ReadonlyMap<string, PackedTensor>;
}

/**
 * The checkpoint's tensors under the model's names. Reads no weights.
 * @throws CheckpointError that lists every difference between the two.
 */
export function baseTensors(checkpoint: Checkpoint, model: Model): BaseTensors {
  refuseForeignQuantization(checkpoint.folder, checkpoint.config);
  const expected = modelTensors(model);
  const companions = new Set([...checkpoint.packed.values()].flatMap((weight) => weight.companions));
  const own = new Map([...checkpoint.tensors].filter(([name]) => !companions.has(name)));
  const resolved = resolveNames(own, expected, model.basePrefix);
  const bySource = new Map([...checkpoint.packed.values()].map((weight) => [weight.codes, weight]));
  const layouts = packable(model);
  const packed = new Map<string, PackedTensor>();
  const seen = new Map(resolved);
  for (const [name, ref] of resolved) {
    const weight = bySource.get(ref);
    const layout = layouts.get(name);
    if (!weight || !layout) continue;
    packed.set(name, weight);
    // As the weight would be, unquantised: Conv1D lies the other way round in four bits.
    const shape = layout === 'conv1d' ? [...weight.shape].reverse() : weight.shape;
    seen.set(name, { ...ref, dtype: weight.dtype, shape: [...shape] });
  }
  // A tied head may be stored all the same; it is the embedding again.
  const tiedHead = (name: string): boolean => model.tied && name === 'lm_head.weight';
  verifyTensors({ ...checkpoint, tensors: seen }, expected, {
    ignorable: (name) => model.ignorable.test(name) || tiedHead(name),
  });
  return { tensors: resolved, packed };
}

/**
 * The weights that may lie in four bits, by name, as transformers and bitsandbytes choose them: linear modules, not the
 * head, and nothing that another module shares.
 */
export function packable(model: Model): Map<string, 'linear' | 'conv1d'> {
  const users = new Map<string, number>();
  for (const module of model.modules)
    if ('weight' in module) users.set(module.weight, (users.get(module.weight) ?? 0) + 1);
  return new Map(
    model.modules.flatMap((module) =>
      (module.kind === 'linear' || module.kind === 'conv1d') &&
      module.path !== model.head.path &&
      users.get(module.weight) === 1
        ? [[module.weight, module.kind] as const]
        : [],
    ),
  );
}
