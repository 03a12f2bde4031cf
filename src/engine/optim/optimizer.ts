// An optimizer as a graph: how one flat vector of parameters moves, given its gradient and its state. One file each.
import type { Recipe } from '../../protocol/recipe';
import type { ParameterGroup } from '../adapters/variant';
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { CatalogueEntry } from '../recipe/catalogue';

/** The settings that optimizers read. */
export type OptimizerSettings = Pick<
  Recipe,
  'optim' | 'weight_decay' | 'adam_beta1' | 'adam_beta2' | 'adam_epsilon' | 'max_grad_norm' | 'settings'
>;

export interface UpdateContext {
  readonly b: GraphBuilder;
  readonly parameter: Value;
  /** Averaged over the batch and clipped. */
  readonly gradient: Value;
  /** By the names in `slots`. */
  readonly slots: Readonly<Record<string, Value>>;
  readonly group: ParameterGroup;
  readonly settings: OptimizerSettings;
  /** A scalar that `scalars` feeds. */
  scalar(name: string): Value;
}

export interface Optimizer {
  /** Value of the recipe's `optim`. */
  id: string;
  entry: CatalogueEntry;
  /** State vectors as long as the parameters, zero at the start. */
  slots: readonly string[];
  /** Scalars fed before every update; `step` counts from 1. */
  scalars(settings: OptimizerSettings, step: number, learningRate: number): Record<string, number>;
  /**
   * The new parameter and state. Each old value must be read only by what its new value depends on, so that both may
   * share a buffer; the compiler verifies it.
   */
  update(context: UpdateContext): { parameter: Value; slots: Record<string, Value> };
}
