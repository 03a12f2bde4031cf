// What an adapter method says of itself. A method is one file: its parameters, how it changes a module in the forward pass,
// its exact LoRA form where it has one. Shared code never asks which method it has before it.

import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { EmbeddingModule, LinearModule } from '../models/architecture';
import type { Random } from '../random';
import type { CatalogueEntry } from '../recipe/catalogue';
import type { AdapterSettings } from './settings';

/** A module that the adapter changes. */
export interface Site {
  module: LinearModule | EmbeddingModule;
  /** Module path, for example `model.layers.0.self_attn.q_proj`. */
  path: string;
  /** Width of the input; the vocabulary for an embedding. */
  inFeatures: number;
  /** Width of the output. */
  outFeatures: number;
  /** Rank of this module, patterns applied. */
  r: number;
  alpha: number;
}

/** How the optimizer treats a tensor. */
export interface ParameterGroup {
  /** Multiplies the learning rate (LoRA+). */
  learningRateScale: number;
  /** Whether weight decay acts on it; the HF Trainer spares biases and norms. */
  decay: boolean;
}

/** A tensor of an adapter: what the run trains, or what the adapter keeps as it started. */
export interface PlannedTensor {
  /** Name in the adapter's file without PEFT's prefix `base_model.model.`. */
  name: string;
  /** Shape in the adapter's file. */
  shape: readonly number[];
  /** Kept transposed on the device, where the products want it so; files never see it. */
  transposed?: boolean;
  group: ParameterGroup;
  /** Never trained: shared projections, a fixed factor. */
  frozen?: true;
  /** Values in the file's layout, before the first step; `base` reads a checkpoint tensor as fp32. */
  initial(
    random: Random,
    base: (tensor: string) => Promise<Float32Array>,
  ): Float32Array | Promise<Float32Array>;
}

/** What a method sees while it builds one module. Shapes: x [N, in] → y [N, out]. */
export interface SiteContext {
  readonly b: GraphBuilder;
  readonly site: Site;
  /** True in training graphs: dropout acts, extra losses count. */
  readonly training: boolean;
  /** One of this site's tensors by the last part of its name, or a shared one by its whole name; in the device's layout. */
  parameter(name: string): Value;
  /** The module without its adapter, bias included. For embeddings x are ids. */
  base(x: Value): Value;
  /** The module without its adapter and without its bias. */
  product(x: Value): Value;
  /** The base weight as it lies in the checkpoint: [out, in], for Conv1D [in, out]. */
  weight(): Value;
  /**
   * Inverted dropout's mask on x, unscaled: the caller multiplies by `keepScale`, which it can fold into a product.
   */
  dropout(x: Value): { value: Value; keepScale: number };
  /** A number that the host feeds before every step, for schedules inside the graph. */
  scalar(name: string): Value;
  /** Adds coefficient · value (a scalar) to the training loss; reported apart from the task loss. */
  addLoss(name: string, value: Value, coefficient: number): void;
}

/** ΔW = b·a for one module: a [ρ, in], b [out, ρ], scaling included in b (and in the bias, [out], where there is one). */
export interface LoraForm {
  rank: number;
  a: Float32Array;
  b: Float32Array;
  bias?: Float32Array;
}

export interface VariantTraits {
  /** At the start the model's output is the base model's. */
  startsAtBase: boolean;
  /** y is linear in x (dropout off), so that the module merges into one weight. */
  linearInInput: boolean;
  /** y = base(x) + Δ(x): the update does not depend on the base weight. */
  additive: boolean;
}

/** An adapter method. Its own settings, beyond the common keys, are in `settings.settings`. */
export interface Variant {
  /** Value of the recipe's `adapter`; also the file's name in camel case. */
  id: string;
  /** Everything a recipe, form or help needs to know. */
  entry: CatalogueEntry;
  /** Paper, for help and model cards. */
  paper: string;
  traits: VariantTraits;
  /** Kinds of modules it can change. */
  adapts(module: LinearModule | EmbeddingModule): boolean;
  /** Tensors of one module, named below its path. */
  parameters(site: Site, settings: AdapterSettings): PlannedTensor[];
  /** Tensors that all modules share, by whole names. */
  shared?(sites: readonly Site[], settings: AdapterSettings): PlannedTensor[];
  /** The adapted module: x [N, in] (ids [N] for an embedding) → y [N, out]. */
  apply(context: SiteContext, x: Value, settings: AdapterSettings): Value;
  /** The exact LoRA form, where there is one: merging, hot-swapping and PEFT export use it. */
  loraForm?(site: Site, tensors: (name: string) => Float32Array, settings: AdapterSettings): LoraForm;
}
