// What the adapter page is told and may ask: facts of the header first, then modules and tensors as they are computed.
// Plain data; both sides and the thread that computes are typed by this file.
import type { Problem } from '../errors';
import type { CommonRequests, Contract } from '../webview';

/** One fact of the summary. */
export interface Fact {
  label: string;
  value: string;
  detail: string;
  state?: 'ok' | 'warning' | 'error';
}

/** A tensor as the header describes it. */
export interface TensorHead {
  name: string;
  dtype: string;
  shape: readonly number[];
  bytes: number;
}

/** What a look at a tensor's values found. */
export interface TensorValues {
  /** Index into `AdapterHead.tensors`. */
  index: number;
  /** Null where values are not finite or the element type is not read. */
  norm: number | null;
  /** Mean and largest of |w|. */
  mean: number | null;
  largest: number | null;
  notFinite: number;
}

/** An adapted module as the header describes it: ΔW is [out, in] of rank `rank`. */
export interface ModuleHead {
  path: string;
  outFeatures: number;
  inFeatures: number;
  rank: number;
}

/** ΔW of one module. */
export interface ModuleValues {
  /** Index into `AdapterHead.modules`. */
  index: number;
  /** Singular values of ΔW, largest first; empty where a factor is not finite. */
  sigma: readonly number[];
  /** ‖ΔW‖; null where a factor is not finite. */
  norm: number | null;
}

export interface AdapterHead {
  /** The run's or the folder's name. */
  title: string;
  /** As the workspace shows it. */
  file: string;
  folder: string;
  bytes: number;
  /** `LoRA`, `DoRA` …; undefined for a file that is no adapter. */
  method: string | undefined;
  facts: readonly Fact[];
  problems: readonly Problem[];
  tensors: readonly TensorHead[];
  modules: readonly ModuleHead[];
  /** Sentences about what the numbers leave out. */
  notes: readonly string[];
  /** What the buttons may do. */
  canTry: boolean;
  run: string | undefined;
  hasConfig: boolean;
  /** Whether ‖W‖ of the base will come. */
  withBase: boolean;
}

export interface AdapterNews {
  tensors: readonly TensorValues[];
  modules: readonly ModuleValues[];
  /** [module, ‖W‖]. */
  base: readonly (readonly [module: number, norm: number])[];
}

export interface AdapterContract extends Contract {
  requests: {
    command: CommonRequests['command'];
    openFile: CommonRequests['openFile'];
    openFolder: { params: undefined; result: undefined };
    /** Computes again after the file changed. */
    reload: { params: undefined; result: undefined };
  };
  pushes: {
    head: AdapterHead;
    news: AdapterNews;
    /** `what` failed for a reason; the rest stays. */
    problem: Problem;
    done: { milliseconds: number };
    /** A fact that changed, by its label. */
    fact: Fact;
  };
}
