// What a gradient rule sees and gives back. One rule per operator; a rule names the operator's mathematics above its code.
import type { GraphBuilder } from '../graph/builder';
import type { Value } from '../graph/graph';
import type { AttributesOf, OpName } from '../graph/ops';
import type { Attributes } from '../graph/ops/definition';

/** One node on the way back. Values come through `input` and `output`, which hand out recomputed copies where told to. */
export interface GradientContext<A = Attributes> {
  readonly b: GraphBuilder;
  readonly attributes: A;
  /** The i-th input as the backward pass may use it. */
  input(i: number): Value;
  /** The i-th output as the backward pass may use it. */
  output(i: number): Value;
  /** The gradient of the i-th output; zeros where none arrived. */
  dOutput(i: number): Value;
  /** Whether a gradient arrived at the i-th output. */
  has(i: number): boolean;
  /** Whether the i-th input leads to a trained parameter. */
  needs(i: number): boolean;
  readonly inputCount: number;
  /** Shapes of the inputs, without touching their values. */
  shape(i: number): readonly number[];
}

/** Gradients by input position; a missing entry means no gradient. Only positions with `needs` are asked for. */
export type Gradients = readonly (Value | null)[];

/** Inputs with which the contract test compares a rule with central finite differences. */
export interface Sample {
  /** Shapes of the inputs; null for an omitted optional input. */
  inputs: readonly (SampleInput | null)[];
  attributes?: object;
  /** Which outputs take part in the test loss; the first by default. */
  outputs?: readonly number[];
}

export interface SampleInput {
  shape: readonly number[];
  /** Fixed integer or boolean data: such an input is not differentiated. */
  data?: { dtype: 'int64' | 'bool' | 'int32'; values: readonly number[] };
  /** Range of the random values; [-1, 1] by default. */
  range?: readonly [number, number];
  /** Not differentiated: the rule treats it as constant. */
  frozen?: boolean;
}

export type GradientRow<A = Attributes> =
  | {
      grad(context: GradientContext<A>): Gradients;
      samples: readonly Sample[];
      /** Set where the rule is deliberately no derivative, with the reason; the contract test then skips differences. */
      surrogate?: string;
    }
  /** No gradient flows through the operator, for the reason given. */
  | { stop: string };

/** Types each row by its operator's attributes. */
export function defineGradients<T extends { [O in OpName]?: GradientRow<AttributesOf<O>> }>(rows: T): T {
  return rows;
}
