// The intermediate representation: typed values of static shape, nodes in emission order. Knows nothing of ONNX bytes or of runtimes.
//
// Shapes are static: one graph is compiled per batch shape, so every size is a number and every check happens while building.
import type { DType } from '../dtype';
import type { AttributesOf, OpName } from './ops';

export type Shape = readonly number[];

/** Data of a constant: what its initializer holds; 16-bit floats as their bits. */
export type ConstantData = Float32Array | Uint16Array | BigInt64Array | Int32Array | Uint8Array;

/** One tensor of the graph. Identity is the object; names are unique within a graph. */
export interface Value {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
  /** The node that makes it; undefined for inputs and constants. */
  readonly producer?: Node;
  /** Which of the producer's outputs it is. */
  readonly outputIndex: number;
  /** Set for constants only. */
  readonly data?: ConstantData;
}

/** What gradient checkpointing may do with a node's outputs, as the model's author declared it. */
export type Keep =
  /** Expensive (a matrix product): recomputed only under full checkpointing. */
  | 'product'
  /** Cheap to make again from kept values (norms, activations, probabilities): recomputed under selective checkpointing. */
  | 'cheap'
  /** Never kept for the backward pass (views, slices of shared pools). */
  | 'never'
  /** Always kept: the boundary from which everything else can be made again. */
  | 'always';

/** One operator application. */
export interface Node {
  readonly op: OpName;
  readonly inputs: readonly (Value | null)[];
  readonly outputs: readonly Value[];
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** Path of scopes, for example `model.layers.0.self_attn.q_proj`. */
  readonly scope: string;
  /** One answer for all outputs, or one each. */
  readonly keep: Keep | readonly Keep[];
}

export type AttributeValue = number | string | readonly number[] | Float;

/** A floating-point attribute; ONNX tells 1 and 1.0 apart. */
export interface Float {
  readonly float: number;
}

export const float = (value: number): Float => ({ float: value });

export interface GraphOutput {
  readonly name: string;
  readonly value: Value;
}

/** A whole program. Nodes are in emission order, which the encoder keeps. */
export interface Graph {
  readonly name: string;
  readonly inputs: Value[];
  readonly nodes: Node[];
  readonly outputs: GraphOutput[];
}

export type { AttributesOf, OpName };
