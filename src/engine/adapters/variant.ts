// What an adapter method says of itself. A method is one file: its parameters, how it changes a module in the forward pass,
// its exact LoRA form where it has one. Shared code never asks which method it has before it.

import type { ModuleChoice } from '../../protocol/run';
import type { SettingValue } from '../../protocol/settings';
import type { JsonObject } from '../files/json';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { EmbeddingModule, LinearModule, Module } from '../models/architecture';
import type { Random } from '../random';
import type { CatalogueEntry } from '../recipe/catalogue';
import type { StartContext } from './initialisations/initialisation';
import type { PeftConfig } from './peftTypes';
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
  /** What the adapters of earlier tasks add here, in their order; none without such tasks. */
  earlier?: readonly EarlierPair[];
}

/** What one earlier task adds to one module: scaling·b·a. */
export interface EarlierPair {
  /** 0 where the task left the module alone. */
  rank: number;
  scaling: number;
  /** a [rank, in], b [out, rank], the bits of their file; absent where a file holds them already. */
  values?: Pick<TaskForm, 'a' | 'b' | 'own'>;
}

/** An earlier task's adapter, read for a plan (earlier.ts). */
export interface EarlierTask {
  /** Where it came from, for messages and files. */
  name: string;
  /** By module path. */
  modules: ReadonlyMap<string, EarlierPair>;
}

/** A tensor of the checkpoint. */
export interface ShapedName {
  name: string;
  shape: readonly number[];
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
  /** Left out of the adapter's file: `initial` gives it again, from the settings alone, when the file is read. */
  unstored?: true;
  /** Module path of the site that it belongs to; set by the plan. */
  site?: string;
  /** The base module whose tensor it is; `head` for the one that makes the logits. Set by the plan. */
  module?: { path: string; kind: Module['kind']; head: boolean };
  /** A factor on the output's side (lora_B): LoRA+ gives it the raised learning rate. */
  outputSide?: true;
  /** The axis along which a file may leave out ranks (`PeftForm.kept`). */
  rankAxis?: 0 | 1;
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
  /** The base weight as it lies in the checkpoint: [out, in], for Conv1D [in, out], for embeddings [rows, width]. */
  weight(): Value;
  /** The base bias [out], where the module has one. */
  bias(): Value | undefined;
  /** How many modules the adapter changes. */
  readonly siteCount: number;
  /**
   * Inverted dropout's mask on x, unscaled: the caller multiplies by `keepScale`, which it can fold into a product.
   */
  dropout(x: Value): { value: Value; keepScale: number };
  /** A number that the host feeds before every step, for schedules inside the graph. */
  scalar(name: string): Value;
  /** Adds coefficient · value (a scalar) to the training loss; reported apart from the task loss. */
  addLoss(name: string, value: Value, coefficient: number): void;
  /** Hands out a value [N, k] by name, one row per token, where a graph asks for it. */
  observe?(name: string, value: Value): void;
}

/** ΔW = b·a for one module: a [ρ, in], b [out, ρ], scaling included in b (and in the bias, [out], where there is one). */
export interface LoraForm {
  rank: number;
  a: Float32Array;
  b: Float32Array;
  bias?: Float32Array;
  /** `b` before scaling, for files that scale by alpha/r: no bit of a trained tensor changes. */
  stored?: { b: Float32Array; alpha: number };
}

/** One task of a sequence that one adapter holds. */
export interface TaskForm extends LoraForm {
  /** Its further tensors, which a later task of the same method starts from. */
  own?: ReadonlyMap<string, Float32Array>;
}

export interface VariantTraits {
  /** At the start the model's output is the base model's. */
  startsAtBase: boolean;
  /** y is linear in x (dropout off), so that the module merges into one weight. */
  linearInInput: boolean;
  /** y = base(x) + Δ(x): the update does not depend on the base weight. */
  additive: boolean;
  /** Names of tensors that also act through values which the backward pass takes as constant. */
  detached?: RegExp;
}

/** Where a merge builds a whole weight on the device. */
export interface MergeContext {
  readonly b: GraphBuilder;
  readonly site: Site;
  /** The base weight, [out, in] whatever the checkpoint's layout; for embeddings [width, rows]. */
  readonly weight: Value;
  /** One of the site's tensors, or a shared one, in the file's layout. */
  parameter(name: string): Value;
}

/** How a method stands in PEFT's adapter_config.json. */
export interface PeftForm {
  type: PeftConfig['peft_type'];
  /** The settings of a file of this method, over those that all types share; undefined for another method's file. */
  read(config: PeftConfig): Partial<AdapterSettings> | undefined;
  /** The keys that it sets; `host` is what its host part keeps, where a run trained it. */
  write(
    settings: AdapterSettings,
    sites: readonly Site[],
    host?: JsonObject,
  ): Readonly<Record<string, unknown>>;
  /** Which ranks of a site the file holds; undefined for all. */
  kept?(config: PeftConfig, site: Site): readonly boolean[] | undefined;
}

/** What a checkpoint keeps of a method's host part. */
export interface HostState {
  values: JsonObject;
  tensors: readonly { name: string; shape: readonly number[]; data: Float32Array }[];
}

/** A run as a method's host part sees it after an update. Values are in the files' layout. */
export interface StepAccess {
  /** Optimizer steps done, this one included. */
  readonly step: number;
  /** All parameters, the new values. */
  parameters(): ReadonlyMap<string, Float32Array>;
  /** The gradients that the optimizer saw, clipped. */
  gradients(): ReadonlyMap<string, Float32Array>;
  /** Puts new values in place; names that are left out stay. */
  write(values: ReadonlyMap<string, Float32Array>): void;
  /** Sets the optimizer's state of these tensors to zero. */
  resetOptimizer(names: readonly string[]): void;
}

/** What a method does on the host in one run: statistics, schedules, masks. */
export interface HostPart {
  /** After every update; returns what the run should tell, in full sentences. */
  afterUpdate(run: StepAccess): readonly string[];
  /** Multiplies the learning rate of this step, counted from 1. */
  learningRateFactor?(step: number): number;
  state(): HostState;
  /** Throws where the state is none of its own. */
  restore(state: HostState): void;
}

/** What a run finds out before it trains: it learns on a part of the data, sees how much each module adds, and plans anew. */
export interface Preparation {
  /** Undefined where the settings leave nothing to find out. */
  phase(settings: AdapterSettings): { steps: number; sampleRatio: number } | undefined;
  /** @param response by module path: the mean over tokens of ‖Δ(x)‖², Δ being what the module's adapter adds. */
  conclude(
    sites: readonly Site[],
    settings: AdapterSettings,
    response: ReadonlyMap<string, number>,
  ): {
    /** Own settings with which the run is planned again; `phase` has nothing left to find out then. */
    settings: Readonly<Record<string, SettingValue>>;
    /** Full sentences. */
    message: string;
    modules: readonly ModuleChoice[];
    /** Tensors that go on: name in the new plan → name in the old one. The others start anew. */
    carried: ReadonlyMap<string, string>;
  };
}

/** A change of gradients between clipping and the optimizer. */
export interface GradientTransform {
  /** What it needs of tensors that never change, computed once on the host in the files' layout. */
  constants(
    site: Site,
    settings: AdapterSettings,
  ): readonly {
    name: string;
    shape: readonly number[];
    value(tensor: (name: string) => Float32Array): Float32Array;
  }[];
  /** The gradient of the site's tensor `name` in the device's layout; the same value where nothing changes. */
  apply(
    b: GraphBuilder,
    site: Site,
    name: string,
    gradient: Value,
    constant: (name: string) => Value,
    settings: AdapterSettings,
  ): Value;
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
  /** Tensors that all modules share, by whole names; `tensors` are the model's. */
  shared?(sites: readonly Site[], settings: AdapterSettings, tensors: readonly ShapedName[]): PlannedTensor[];
  /** What is added to base tensors wherever they are used; asked once per graph. `planned` gives its own tensors. */
  shift?(
    b: GraphBuilder,
    settings: AdapterSettings,
    planned: (name: string) => Value | undefined,
  ): (tensor: ShapedName) => Value | undefined;
  /** The adapted module: x [N, in] (ids [N] for an embedding) → y [N, out]. */
  apply(context: SiteContext, x: Value, settings: AdapterSettings): Value;
  /** The exact LoRA form, where there is one: merging, hot-swapping and PEFT export use it. */
  loraForm?(site: Site, tensors: (name: string) => Float32Array, settings: AdapterSettings): LoraForm;
  /** Its own tensors from the plain LoRA that it exports, by whole names; undefined for a LoRA that it cannot have made. */
  fromLora?(
    sites: readonly Site[],
    lora: ReadonlyMap<string, Float32Array>,
    settings: AdapterSettings,
  ): ReadonlyMap<string, Float32Array> | undefined;
  /** Folders of the adapters of earlier tasks that its plan takes in (earlier.ts). */
  earlier?(settings: AdapterSettings): readonly string[];
  /** The tasks that the adapter holds at a module, in order, for a method of task sequences. */
  tasks?(site: Site, tensors: (name: string) => Float32Array, settings: AdapterSettings): TaskForm[];
  /** The LoRA that stands for the adapter when what it observes is held at its mean over tokens, [k]: not exact. */
  averaged?(
    site: Site,
    tensors: (name: string) => Float32Array,
    settings: AdapterSettings,
    means: Float32Array,
  ): LoraForm;
  /** Start values that come from the base weight, by the last part of a tensor's name (train/start.ts). */
  start?(context: StartContext): Promise<ReadonlyMap<string, Float32Array>>;
  /** Whether each task is saved as a LoRA folder of its own, in place of one LoRA for all. */
  savesTasks?(settings: AdapterSettings): boolean;
  /** False for settings under which `loraForm` has no answer. */
  hasLoraForm?(settings: AdapterSettings): boolean;
  /** The merged weight, [out, in], for a method without LoRA form whose module is linear all the same. */
  mergedWeight?(context: MergeContext, settings: AdapterSettings): Value;
  /** How its files are PEFT's; without it they are our own, beside a LoRA export where there is a LoRA form. */
  peft?: PeftForm;
  /** The rank of every module, where the settings fix it whatever r and rank_pattern say. */
  rank?(settings: AdapterSettings): number;
  gradientTransform?: GradientTransform;
  /** The phase before training (train/preparation.ts). */
  preparation?: Preparation;
  /** Its part on the host, made once per run. */
  host?(sites: readonly Site[], settings: AdapterSettings, totalSteps: number): HostPart;
}

/** Whether merging, hot-swapping and LoRA export can use a method's LoRA form under these settings. */
export function hasLoraForm(variant: Variant, settings: AdapterSettings): boolean {
  return variant.loraForm !== undefined && variant.hasLoraForm?.(settings) !== false;
}
