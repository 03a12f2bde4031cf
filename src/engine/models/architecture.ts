// What a model family says of itself: its configuration, its modules and tensors, its forward pass. A family is one file,
// named as the checkpoint's model_type. Families know nothing of adapters, training or runtimes: they ask the Forward
// context for every module, and the context decides what happens there.
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { Rotary } from './rotary';

/** A weight matrix in the forward pass. `conv1d` is GPT-2's layout: stored [in, out] instead of [out, in]. */
export interface LinearModule {
  kind: 'linear' | 'conv1d';
  /** Module path as in the checkpoint, for example `model.layers.0.self_attn.q_proj`. */
  path: string;
  inFeatures: number;
  outFeatures: number;
  bias: boolean;
  /** Tensor that holds the weight; the embedding's where the head is tied. */
  weight: string;
  /** The output head: `all-linear` leaves it out. */
  head?: boolean;
}

export interface EmbeddingModule {
  kind: 'embedding';
  path: string;
  rows: number;
  width: number;
  weight: string;
  /** Looks up token ids (position tables do not). */
  tokens: boolean;
}

export interface NormModule {
  kind: 'rmsnorm' | 'layernorm';
  path: string;
  width: number;
  epsilon: number;
}

export type Module = LinearModule | EmbeddingModule | NormModule;

/** A checkpoint tensor that the model needs. */
export interface ModelTensor {
  name: string;
  shape: readonly number[];
}

/** One attention layer's products, before heads are split. Shapes [N, heads·Dh]. */
export interface AttentionCall {
  layer: number;
  query: Value;
  key: Value;
  value: Value;
  heads: number;
  keyValueHeads: number;
  headSize: number;
  /** Factor on the scores, 1/√Dh for most. */
  scale: number;
  /** Sliding window in positions: position i sees i−window+1 … i. */
  window?: number;
  rotary?: Rotary;
}

/** What a forward pass may ask for. N = rows·length. */
export interface Forward {
  readonly b: GraphBuilder;
  readonly rows: number;
  readonly length: number;
  /** Position ids int64 [rows, length]. */
  readonly positions: Value;
  /** y [N, out] of a linear module, its adapter included. */
  linear(path: string, x: Value): Value;
  /** Rows [N, width] of an embedding table for ids int64 [N]. */
  embedding(path: string, ids: Value): Value;
  norm(path: string, x: Value): Value;
  /** Causal self-attention, [N, heads·Dh] → [N, heads·Dh]. */
  attention(call: AttentionCall): Value;
}

/** One configured model. */
export interface Model {
  modelType: string;
  hiddenSize: number;
  intermediateSize: number;
  layers: number;
  heads: number;
  keyValueHeads: number;
  headSize: number;
  vocabularySize: number;
  maxPositions: number;
  /** The head shares the token embedding's tensor. */
  tied: boolean;
  modules: readonly Module[];
  head: LinearModule;
  /** PEFT's default target_modules for the family. */
  defaultTargets: readonly string[];
  /** Prefix that base-class checkpoints leave out of every name (`model.`, `transformer.`). */
  basePrefix: string;
  /** Tensor names that a checkpoint may hold and the model does not need. */
  ignorable: RegExp;
  /** Rotary frequencies depend on the sequence length, so lengths are not rounded up. */
  lengthDependent: boolean;
  /** Positions are rotations of queries and keys; else they are learned. */
  rotary: boolean;
  /** Token ids int64 [N] → hidden states [N, D] after the last norm. */
  forward(f: Forward, ids: Value): Value;
}

/** A family of checkpoints. */
export interface Architecture {
  modelType: string;
  label: string;
  /** Reads `config.json`; raises one CheckpointError that lists every problem. */
  model(config: Record<string, unknown>): Model;
}

/** The tensors behind a model's modules, each once. */
export function modelTensors(model: Model): ModelTensor[] {
  const tensors = new Map<string, ModelTensor>();
  const add = (name: string, shape: readonly number[]): void => {
    if (!tensors.has(name)) tensors.set(name, { name, shape });
  };
  for (const module of model.modules) {
    switch (module.kind) {
      case 'linear':
        add(module.weight, [module.outFeatures, module.inFeatures]);
        break;
      case 'conv1d':
        add(module.weight, [module.inFeatures, module.outFeatures]);
        break;
      case 'embedding':
        add(module.weight, [module.rows, module.width]);
        break;
      default:
        add(`${module.path}.weight`, [module.width]);
        if (module.kind === 'layernorm') add(`${module.path}.bias`, [module.width]);
    }
    if ('bias' in module && module.bias) add(`${module.path}.bias`, [module.outFeatures]);
  }
  return [...tensors.values()];
}
