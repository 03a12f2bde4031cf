// Builds graphs: typed operator calls, scoped names that repeat the checkpoint's paths, shared constants. Every call infers
// its result's type, so a graph that was built is a graph whose shapes fit.
import type { DType } from '../dtype';
import { invariant } from '../errors';
import { type ConstantData, float, type Graph, type Keep, type Node, type Shape, type Value } from './graph';
import { type AttributesOf, type OpName, opDefinition } from './ops';
import { failFor } from './ops/definition';
import { sameShape } from './shape';

/** What one operator call may carry besides inputs and attributes. */
export interface NodeOptions {
  /** Last part of the result's name; the operator's name otherwise. */
  name?: string;
  keep?: Keep | readonly Keep[];
}

export class GraphBuilder {
  readonly inputs: Value[] = [];
  readonly nodes: Node[] = [];
  readonly #names = new Set<string>();
  /** Base of a name → the first number that may be free. */
  readonly #counts = new Map<string, number>();
  readonly #constants = new Map<string, Value>();
  readonly #tables = new Map<ConstantData, Value>();
  readonly #shared = new Map<string, Value>();
  #scope = '';
  #keep: Keep | undefined;

  constructor(readonly name: string) {}

  /** The current path of scopes. */
  get currentScope(): string {
    return this.#scope;
  }

  /** Runs `body` with `path` appended to the names of what it builds. */
  scope<T>(path: string, body: () => T): T {
    const outer = this.#scope;
    this.#scope = outer ? `${outer}.${path}` : path;
    try {
      return body();
    } finally {
      this.#scope = outer;
    }
  }

  /** Runs `body` with a default answer to "may this be recomputed" for the nodes it builds. */
  keeping<T>(keep: Keep, body: () => T): T {
    const outer = this.#keep;
    this.#keep = keep;
    try {
      return body();
    } finally {
      this.#keep = outer;
    }
  }

  /** A value that the caller feeds at run time. */
  input(name: string, dtype: DType, shape: Shape): Value {
    invariant(!this.#names.has(name), `the input name ${name} is used once`);
    this.#names.add(name);
    const value: Value = { name, dtype, shape, outputIndex: 0 };
    this.inputs.push(value);
    return value;
  }

  /** A constant; equal small constants are shared, and large ones of the very same array. */
  constant(dtype: DType, shape: Shape, data: ConstantData, name = 'constant'): Value {
    const key =
      data.length <= 64
        ? `${dtype}[${shape.join(',')}]${Array.from<number | bigint>(data).join(',')}`
        : undefined;
    const known = key === undefined ? this.#tables.get(data) : this.#constants.get(key);
    if (known?.dtype === dtype && sameShape(known.shape, shape)) return known;
    const value: Value = { name: this.#unique(name), dtype, shape, outputIndex: 0, data };
    if (key !== undefined) this.#constants.set(key, value);
    else this.#tables.set(data, value);
    return value;
  }

  /** What `make` gives when a key is first asked for, kept for all that ask later: masks, columns of ones. */
  once(key: string, make: () => Value): Value {
    let value = this.#shared.get(key);
    if (!value) {
      value = this.keeping('always', make);
      this.#shared.set(key, value);
    }
    return value;
  }

  scalar(value: number): Value {
    return this.constant('float32', [], Float32Array.of(value));
  }

  int64(values: readonly number[]): Value {
    return this.constant('int64', [values.length], BigInt64Array.from(values, BigInt));
  }

  /** Applies an operator with one result. */
  op<O extends OpName>(
    op: O,
    inputs: readonly (Value | null)[],
    attributes: AttributesOf<O>,
    options?: NodeOptions,
  ): Value {
    return this.apply(op, inputs, attributes, options)[0]!;
  }

  /** Applies an operator; returns all its results. */
  apply<O extends OpName>(
    op: O,
    inputs: readonly (Value | null)[],
    attributes: AttributesOf<O>,
    options: NodeOptions = {},
  ): readonly Value[] {
    const definition = opDefinition(op);
    const types = definition.infer(inputs, attributes as never, failFor(op, this.#scope, inputs));
    const outputs: Value[] = [];
    const node: Node = {
      op,
      inputs,
      outputs,
      attributes: attributes as never,
      scope: this.#scope,
      keep: options.keep ?? this.#keep ?? 'product',
    };
    types.forEach((type, i) => {
      const base = this.#scope ? `${this.#scope}/${options.name ?? op}` : (options.name ?? op);
      outputs.push({
        ...typeOnly(type),
        name: this.#unique(i === 0 ? base : `${base}:${i}`),
        producer: node,
        outputIndex: i,
      });
    });
    this.nodes.push(node);
    return outputs;
  }

  /** Applies a node's operator again to other inputs, in the node's own scope. */
  again(node: Node, inputs: readonly (Value | null)[]): readonly Value[] {
    const outer = this.#scope;
    this.#scope = node.scope;
    try {
      return this.apply(node.op, inputs, node.attributes as never, {
        name: `${node.op}.again`,
        keep: node.keep,
      });
    } finally {
      this.#scope = outer;
    }
  }

  add = (a: Value, b: Value, options?: NodeOptions): Value => this.op('Add', [a, b], {}, options);
  sub = (a: Value, b: Value): Value => this.op('Sub', [a, b], {});
  mul = (a: Value, b: Value, options?: NodeOptions): Value => this.op('Mul', [a, b], {}, options);
  div = (a: Value, b: Value): Value => this.op('Div', [a, b], {});
  /** x · factor; x itself where the factor is 1. */
  scale = (x: Value, factor: number): Value => (factor === 1 ? x : this.mul(x, this.scalar(factor)));
  matmul = (a: Value, b: Value): Value => this.op('MatMul', [a, b], {});

  /** alpha · op(a) · op(b) on any number of leading dimensions. */
  product(a: Value, b: Value, o: { transA?: boolean; transB?: boolean; alpha?: number } = {}): Value {
    return this.op('FusedMatMul', [a, b], {
      alpha: float(o.alpha ?? 1),
      transA: o.transA ? 1 : 0,
      transB: o.transB ? 1 : 0,
    });
  }

  /** op(x) · op(w) + c on matrices. */
  gemm(x: Value, w: Value, o: { transA?: boolean; transB?: boolean; alpha?: number; c?: Value } = {}): Value {
    const attributes = {
      alpha: float(o.alpha ?? 1),
      transA: o.transA ? 1 : 0,
      transB: o.transB ? 1 : 0,
    } as const;
    return this.op('Gemm', o.c ? [x, w, o.c] : [x, w], attributes);
  }

  /** The same elements in another shape; no copy at run time. */
  reshape(x: Value, shape: Shape): Value {
    return sameShape(x.shape, shape) ? x : this.op('Reshape', [x], { shape }, { keep: 'never' });
  }

  transpose = (x: Value, perm: readonly number[]): Value => this.op('Transpose', [x], { perm });
  slice = (x: Value, axis: number, start: number, end: number): Value =>
    this.op('Slice', [x], { axis, start, end });
  split = (x: Value, axis: number, sizes: readonly number[]): readonly Value[] =>
    sizes.length === 1 ? [x] : this.apply('Split', [x], { axis, sizes });
  concat = (parts: readonly Value[], axis: number): Value =>
    parts.length === 1 ? parts[0]! : this.op('Concat', parts, { axis });
  sum = (x: Value, axes: readonly number[], keepdims: 0 | 1 = 1): Value =>
    this.op('ReduceSum', [x], { axes, keepdims });
  fill = (shape: Shape, value: number): Value => this.op('Fill', [], { shape, value: float(value) });

  /** The finished program. */
  finish(outputs: readonly { name: string; value: Value }[]): Graph {
    return { name: this.name, inputs: this.inputs, nodes: this.nodes, outputs: [...outputs] };
  }

  #unique(base: string): string {
    let count = this.#counts.get(base) ?? 0;
    let name = count === 0 ? base : `${base}_${count}`;
    while (this.#names.has(name)) name = `${base}_${++count}`;
    this.#counts.set(base, count + 1);
    this.#names.add(name);
    return name;
  }
}

function typeOnly(type: { dtype: DType; shape: Shape }): { dtype: DType; shape: Shape } {
  return { dtype: type.dtype, shape: type.shape };
}
