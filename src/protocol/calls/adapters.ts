// Calls about adapter files: look inside, merge, combine, convert, average, resize, compare, extract.
import type { Problem } from '../errors';
import type { DeviceParams, FourBitParams } from './common';

export interface InspectParams {
  path: string;
}

export interface InspectedTensor {
  name: string;
  dtype: string;
  shape: readonly number[];
  /** Frobenius norm; null where it was not computed. */
  norm: number | null;
}

export interface InspectResult {
  kind: 'adapter' | 'checkpoint' | 'dataset' | 'run' | 'recipe';
  path: string;
  /** One line that says what it is. */
  summary: string;
  facts: Record<string, string | number | boolean | null>;
  tensors?: readonly InspectedTensor[];
  problems: readonly Problem[];
}

export interface MergeParams extends DeviceParams, FourBitParams {
  model: string;
  adapter: string;
  out: string;
}

export interface MergeResult {
  /** The merged checkpoint's folder. */
  out: string;
  mergedModules: number;
  /** Largest absolute difference of logits, merged against unmerged, on the check batch. */
  maxLogitDifference: number;
  verified: boolean;
}

export interface ComposeParams extends DeviceParams {
  model: string;
  adapters: readonly { folder: string; weight: number }[];
  type:
    | 'cat'
    | 'linear'
    | 'svd'
    | 'ties'
    | 'ties_svd'
    | 'dare_linear'
    | 'dare_linear_svd'
    | 'dare_ties'
    | 'dare_ties_svd'
    | 'magnitude_prune'
    | 'magnitude_prune_svd';
  out: string;
  /** Of the result, for the svd types; null takes the adapters' largest. */
  rank: number | null;
  /** Share of the entries that pruning keeps. */
  density: number;
  majoritySign: 'total' | 'frequency';
  seed: number;
  /** Applies alpha/r twice in the svd types, as PEFT up to 0.20. */
  scaledTwice: boolean;
}

export interface ComposeResult {
  /** The combined adapter's folder. */
  out: string;
  modules: number;
  rank: number;
  /** Whether the result is the weighted sum itself. */
  exact: boolean;
  warnings: readonly string[];
}

export interface ConvertParams {
  model: string;
  adapter: string;
  /** `lora` scales by alpha/r, `rslora` by alpha/√r. */
  type: 'lora' | 'rslora';
  out: string;
}

export interface ConvertResult {
  out: string;
  /** The method before. */
  from: string;
  modules: number;
  warnings: readonly string[];
}

export interface AverageParams extends DeviceParams {
  model: string;
  adapter: string;
  /** The dataset over whose tokens gates are averaged, padding left out. */
  data: string;
  maxLength: number | null;
  batchSize: number;
  out: string;
}

export interface AverageResult {
  out: string;
  modules: number;
  rank: number;
  /** The mean of every gate, in the tasks' order. */
  gates: readonly { path: string; means: readonly number[] }[];
  /** That the means are taken over. */
  tokens: number;
  /** On the same data: with the gates, and with their means. */
  lossBefore: number;
  lossAfter: number;
  warnings: readonly string[];
}

export interface ResizeParams {
  model: string;
  adapter: string;
  out: string;
  /** Of every module; null where `energy` decides. */
  rank: number | null;
  /** Share of Σσ² that every module keeps, in (0, 1]. */
  energy: number | null;
  /** Decides the directions of a rank that is larger than before. */
  seed: number;
}

export interface ResizeResult {
  out: string;
  /** ‖ΔW − ΔW′‖ / ‖ΔW‖ over all modules. */
  relativeError: number;
  modules: readonly { path: string; rankBefore: number; rank: number; relativeError: number }[];
  warnings: readonly string[];
}

export interface DiffParams {
  /** Folders, two or more. */
  adapters: readonly string[];
}

export interface DiffResult {
  adapters: readonly { folder: string; modules: number }[];
  /** Keys of adapter_config.json that differ, with a value per adapter; empty where one has none. */
  settings: readonly { key: string; values: readonly string[] }[];
  modules: readonly {
    path: string;
    /** Per adapter; null where it does not adapt the module. */
    ranks: readonly (number | null)[];
    /** ‖ΔW‖; null also where values are not finite. */
    norms: readonly (number | null)[];
    /** Of every two adapters: the cosine of their updates, and φ of the LoRA paper for A's rows and B's columns. */
    pairs: readonly {
      first: number;
      second: number;
      cosine: number | null;
      a: number | null;
      b: number | null;
    }[];
  }[];
}

export interface ExtractParams extends DeviceParams {
  /** The base checkpoint. */
  model: string;
  /** The same model after full fine-tuning. */
  tuned: string;
  out: string;
  /** Of every module, or its smaller side where that is less. */
  rank: number;
}

export interface ExtractResult {
  /** The adapter's folder. */
  out: string;
  /** ‖ΔW − b·a‖ / ‖ΔW‖ over all modules. */
  relativeError: number;
  modules: readonly { path: string; rank: number; relativeError: number }[];
  /** Tensors that changed too and that a LoRA of the linear layers does not hold. */
  unheld: readonly string[];
}
