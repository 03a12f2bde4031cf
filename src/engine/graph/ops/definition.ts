// What a row of the operator table says. Rows are plain data with an inference function; gradients stand in src/engine/autodiff.
import type { DType } from '../../dtype';
import { invariant, UserError } from '../../errors';
import type { GraphBuilder } from '../builder';
import type { AttributeValue, Node, Shape, Value } from '../graph';
import type { Precision } from '../precision';
import { showShape } from '../shape';

export interface TensorType {
  dtype: DType;
  shape: Shape;
}

/**
 * Which element type an operator computes in where the graph computes in 16 bits (passes/precision.ts):
 * - `half`: in 16 bits; kernels add up in fp32.
 * - `float32`: in fp32, and so is its result: sums, exponentials, the loss.
 * - `through float32`: in fp32, its result is stored in 16 bits: rotations by fp32 tables.
 * - `follows`: in its inputs' type, fp32 where one of them is.
 * - `moves`: as `follows`; it moves elements, so that rounding before it or after it is the same.
 * - `cache`: in the type of the key/value cache.
 */
export type PrecisionRule = 'half' | 'float32' | 'through float32' | 'follows' | 'moves' | 'cache';

export type Attributes = Readonly<Record<string, AttributeValue>>;

/** One operator. `A` are its attributes; optional inputs may be null. */
export interface OpDefinition<A extends object = Attributes> {
  /** ONNX domain; `workbench` operators are expanded before encoding. */
  domain: '' | 'com.microsoft' | 'workbench';
  precision: PrecisionRule;
  /** Inputs that stay fp32 whatever the others are: statistics. */
  exact?: readonly number[];
  /** Output types from input types; throws through `fail` where the inputs do not fit. */
  infer(inputs: readonly (TensorType | null)[], attributes: A, fail: Fail): TensorType[];
  /** How opset 18 writes the node where that differs from ours: static arguments as trailing integer inputs. */
  onnx?(attributes: A): OnnxForm;
  /** For `workbench` operators: the same values from plain operators, one per output (null where nobody asked). */
  expand?(
    b: GraphBuilder,
    inputs: readonly (Value | null)[],
    attributes: A,
    wanted: readonly boolean[],
    device: Precision['device'],
  ): (Value | null)[];
  /** Inputs that kernels read in host memory on every device: fed there, they cost neither a copy nor a wait. */
  hostInputs?: readonly number[];
  /** Of large values that depend on inputs and constants alone: made anew for every reader, right before it. */
  fresh?: true;
  /** A better form of the node on a device, for what its inputs are; undefined where it is written as it stands. */
  onDevice?(
    b: GraphBuilder,
    node: Node,
    map: (value: Value) => Value,
    device: Precision['device'],
  ): readonly Value[] | undefined;
}

export interface OnnxForm {
  opType?: string;
  /** Constant int64 vectors appended to the inputs. */
  ints?: readonly (readonly number[])[];
  /** Attributes written in place of ours. */
  attributes?: Attributes;
}

export type Fail = (why: string) => never;

/** The i-th input, which must be there. */
export function required(inputs: readonly (TensorType | null)[], i: number, fail: Fail): TensorType {
  const input = inputs[i];
  if (!input) return fail(`input ${i} is missing`);
  return input;
}

/** Builds the `fail` of one node: a message that names operator, scope and the shapes it was given. */
export function failFor(op: string, scope: string, inputs: readonly (TensorType | null)[]): Fail {
  return (why) => {
    const shapes = inputs.map((t) => (t ? `${t.dtype}${showShape(t.shape)}` : '–')).join(', ');
    throw new Error(`${op} in ${scope || 'the graph'} (${shapes}): ${why}. Please report this.`);
  };
}

/** Keeps the attribute types of each row while widening the table. */
export function defineOps<T extends Record<string, OpDefinition<never>>>(table: T): T {
  return table;
}

export { invariant, UserError };
