// Holds a checkpoint's tensors against those a model expects and lists every difference at once; resolves names with or without the model's prefix.
import type { Problem } from '../../protocol/errors';
import { CheckpointError, raiseProblems } from '../errors';
import { isJsonObject } from '../files/json';
import type { Checkpoint } from './folder';
import { type SafetensorsDType, shorten, type TensorRef } from './safetensors';
import { shownName } from './safetensorsHeader';

export interface ExpectedTensor {
  name: string;
  shape: readonly number[];
  /** May be missing, for example the head of a tied model. */
  optional?: boolean;
}

export interface VerifyOptions {
  /** Surplus tensors that are no problem; `isUsualSurplus` unless told. */
  ignorable?: (name: string) => boolean;
  /** Element types that the reader can use; F32, F16 and BF16 unless told. */
  dtypes?: readonly SafetensorsDType[];
}

/** Buffers that older versions of transformers saved and that every reader computes itself. */
export function isUsualSurplus(name: string): boolean {
  return /(^|\.)(rotary_emb\.inv_freq|attn\.(masked_)?bias|embeddings\.position_ids)$/.test(name);
}

/**
 * The tensors under the names that the model expects, whether the file has its prefix ("model.", "transformer.") or
 * lacks it: a checkpoint saved from the base class has no prefix, one saved from the class with a head has. Names that
 * fit neither way stay as they are; so do those of two tensors that would meet in one name.
 */
export function resolveNames(
  tensors: ReadonlyMap<string, TensorRef>,
  expected: readonly ExpectedTensor[],
  prefix: string,
): Map<string, TensorRef> {
  const wanted = new Set(expected.map(({ name }) => name));
  const resolved = new Map<string, TensorRef>();
  for (const [name, ref] of tensors) {
    const stripped = name.startsWith(prefix) ? name.slice(prefix.length) : name;
    const candidates = [prefix + name, stripped].filter((other) => wanted.has(other) && !tensors.has(other));
    const target = wanted.has(name) ? name : (candidates[0] ?? name);
    resolved.set(resolved.has(target) ? name : target, ref);
  }
  return resolved;
}

/**
 * Returns when `checkpoint` has every expected tensor in its shape and a readable type, and nothing else. Throws one
 * CheckpointError that lists all missing, surplus, misshapen and mistyped tensors.
 */
export function verifyTensors(
  checkpoint: Pick<Checkpoint, 'folder' | 'tensors' | 'config'>,
  expected: readonly ExpectedTensor[],
  options: VerifyOptions = {},
): void {
  const { ignorable = isUsualSurplus, dtypes = ['F32', 'F16', 'BF16'] } = options;
  const { tensors, folder, config } = checkpoint;
  const problems: Problem[] = [];
  const report = (name: string, message: string) => problems.push({ where: shownName(name), message });
  const show = (shape: readonly number[]) => `[${shape.join(', ')}]`;

  for (const { name, shape, optional } of expected) {
    const ref = tensors.get(name);
    if (!ref) {
      if (!optional) report(name, `is missing; expected ${show(shape)}`);
      continue;
    }
    if (ref.shape.length !== shape.length || ref.shape.some((size, axis) => size !== shape[axis])) {
      report(name, `has shape ${show(ref.shape)}; expected ${show(shape)}`);
    }
    if (!dtypes.includes(ref.dtype)) report(name, `is ${ref.dtype}; expected ${dtypes.join(', ')}`);
  }
  const wanted = new Set(expected.map(({ name }) => name));
  for (const name of tensors.keys()) {
    if (!wanted.has(name) && !ignorable(name)) report(name, 'is surplus; this model has no such tensor');
  }
  raiseProblems(
    CheckpointError,
    'checkpoint-tensors-mismatch',
    `The tensors of ${folder} are not those of its config.json:`,
    shorten(problems, 200),
    remedyFor(config),
  );
}

function remedyFor(config: Record<string, unknown>): string {
  const quantization = config.quantization_config;
  if (isJsonObject(quantization)) {
    const method = quantization.quant_method;
    return `Use the unquantised checkpoint; this one is quantised${typeof method === 'string' ? ` (${method.slice(0, 40)})` : ''}.`;
  }
  return 'Take config.json and the weights from the same version of the model.';
}
