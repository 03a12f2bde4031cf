// Calls about training: a run, its forecast, and how many dimensions a task needs.
import type { Recipe } from '../recipe';

export interface TrainParams {
  recipe: Recipe;
  /** What validation and import had to say; the run repeats them as notes. */
  notes: readonly string[];
}

export interface EstimateParams {
  recipe: Recipe;
  notes: readonly string[];
}

export interface EstimateResult {
  totalBytes: number;
  parts: {
    weights: number;
    adapter: number;
    gradients: number;
    optimizer: number;
    activations: number;
    workspace: number;
    [part: string]: number;
  };
  /** What of `totalBytes` lies on the device; all of it where that is the CPU. */
  deviceBytes: number;
  /** The rest, in system memory. */
  hostBytes: number;
  /** On the device. */
  availableBytes: number;
  /** In system memory; null where the device is the CPU. */
  availableHostBytes: number | null;
  /** What of `workspace` CUDA itself takes of the device, and whether a run here has measured it; null on other devices. */
  context: { bytes: number; measured: boolean } | null;
  /** Each in its own place. */
  fits: boolean;
  /** Smallest change first; their bytes are on the device. */
  suggestions: readonly { change: string; totalBytes: number }[];
}

export interface IntrinsicDimensionParams {
  /** Its adapter does not count; its data, lengths and optimizer do. */
  recipe: Recipe;
  notes: readonly string[];
  /** Ascending; null tries 4, 16, 64 … until one is enough. */
  dimensions: readonly number[] | null;
  seeds: readonly number[];
  /** Each is tried, the best counts; null takes the recipe's. */
  learningRates: readonly number[] | null;
  /** Share of full fine-tuning's gain that is enough; 0.9 for d90. */
  threshold: number;
  projection: 'fastfood' | 'dense';
  scope: 'all' | 'targets';
}

export interface IntrinsicDimensionPoint {
  /** Null: every weight. */
  dimension: number | null;
  learningRate: number;
  /** Evaluation losses, one per seed. */
  losses: readonly number[];
  meanLoss: number;
  /** Of the losses; 0 with one seed. */
  deviation: number;
  /** Of the fall of the evaluation loss from the base model to full fine-tuning. */
  share: number;
}

export interface IntrinsicDimensionResult {
  /** The smallest dimension tried whose share reaches the threshold. */
  d90: number | null;
  /** The same for every seed by itself: the spread of d90. */
  d90BySeed: readonly (number | null)[];
  threshold: number;
  baseLoss: number;
  /** Of the model. */
  parameters: number;
  projection: string;
  scope: string;
  seeds: readonly number[];
  full: IntrinsicDimensionPoint;
  points: readonly IntrinsicDimensionPoint[];
}
