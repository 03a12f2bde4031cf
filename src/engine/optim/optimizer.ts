// An optimizer as a graph: how one slab of parameters moves, given its gradient and its state. A slab is a flat vector of
// many tensors, or one tensor alone where the optimizer needs its shape. One file each.
import type { Problem } from '../../protocol/errors';
import type { Recipe } from '../../protocol/recipe';
import type { PlannedTensor } from '../adapters/variant';
import type { Slab } from '../compile/slabs';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { Matrix } from '../linalg/matrix';
import type { CatalogueEntry } from '../recipe/catalogue';

/** The settings that optimizers read. */
export type OptimizerSettings = Pick<
  Recipe,
  'optim' | 'weight_decay' | 'adam_beta1' | 'adam_beta2' | 'adam_epsilon' | 'max_grad_norm' | 'settings'
>;

/** One tensor of a slab's state: zeros at the start, laid out entry after entry as the slab is. */
export interface Slot {
  /** In files, `<name>/<tensor>`. */
  name: string;
  dtype: 'float32' | 'uint8';
  shape: readonly number[];
  /** Elements for each entry of the slab. */
  counts: readonly number[];
  /** One number for each parameter, kept in files as the parameter is: in its file's shape and layout. */
  perElement: boolean;
}

export interface UpdateContext {
  readonly b: GraphBuilder;
  readonly slab: Slab;
  /** [slab.length] */
  readonly parameter: Value;
  /** [slab.length]; averaged over the batch and clipped. */
  readonly gradient: Value;
  /** By the names in `slots`. */
  readonly slots: Readonly<Record<string, Value>>;
  readonly settings: OptimizerSettings;
  /** A scalar that `scalars` feeds. */
  scalar(name: string): Value;
}

/** How a tensor wants to be laid out. */
export interface TensorLayout {
  /** Tensors of different kinds never share a slab. */
  kind: string;
  /** The tensor is a slab by itself, so that its shape is known. */
  alone?: boolean;
}

/** What an optimizer may do between the gradients and the update, on slabs whose state is on the device. */
export interface Preparation {
  /** Counts from 1. */
  readonly step: number;
  readonly slabs: readonly Slab[];
  readonly settings: OptimizerSettings;
  /**
   * The r leading left ([m, r]) and right ([r, n]) singular directions of a matrix slab's gradient, from the largest down,
   * signs fixed; `start` is where an iteration begins. Undefined where the gradient is not finite.
   */
  leading(
    slab: Slab,
    side: 'left' | 'right',
    rank: number,
    start: Matrix | undefined,
  ): Promise<Matrix | undefined>;
  read(slab: Slab, slot: string): Float32Array;
  write(slab: Slab, slot: string, values: Float32Array): void;
}

export interface Optimizer {
  /** Value of the recipe's `optim`. */
  id: string;
  entry: CatalogueEntry;
  /** Where the state of large slabs lies: on the device, or in host memory and moved through a window. Default device. */
  paged?: true;
  /**
   * Parts of a slab are updated alone as they are in the whole, wherever tensors are cut at whole blocks. Large slabs then
   * go in pieces, so that what is computed on the way stays small.
   */
  divisible?: true;
  /** Default: all tensors are of one kind, and share slabs. */
  layout?(tensor: PlannedTensor, settings: OptimizerSettings): TensorLayout;
  /** What does not fit the tensors that train. */
  check?(tensors: readonly PlannedTensor[], settings: OptimizerSettings): Problem[];
  slots(slab: Slab, settings: OptimizerSettings): readonly Slot[];
  /** Scalars fed before every update; `step` counts from 1. */
  scalars(settings: OptimizerSettings, step: number, learningRate: number): Record<string, number>;
  /** Before the update, outside the graph; returns what the run should tell, in full sentences. */
  prepare?(run: Preparation): Promise<readonly string[]>;
  /**
   * The new parameter and state. Each old value must be read only by what its new value depends on, so that both may
   * share a buffer; the compiler verifies it. A slot that is left out stays as it is.
   */
  update(context: UpdateContext): { parameter: Value; slots: Readonly<Record<string, Value>> };
}

/** A float32 for each parameter. */
export function perElement(slab: Slab, ...names: string[]): Slot[] {
  const counts = slab.entries.map(({ count }) => count);
  return names.map((name) => ({
    name,
    dtype: 'float32',
    shape: [slab.length],
    counts,
    perElement: true,
  }));
}
