// A graph being written anew, value for value: what a pass that changes single nodes starts from. It knows no pass.
import { GraphBuilder } from '../builder';
import type { Graph, Value } from '../graph';

export class GraphCopy {
  readonly b: GraphBuilder;
  readonly #mapped = new Map<Value, Value>();

  /** Has the graph's inputs. */
  constructor(private readonly graph: Graph) {
    this.b = new GraphBuilder(graph.name);
    for (const input of graph.inputs) this.put(input, this.b.input(input.name, input.dtype, input.shape));
  }

  /** What stands for a value of the graph; a constant is made when it is first asked for. */
  of(value: Value): Value {
    const known = this.#mapped.get(value);
    if (known) return known;
    const constant = this.b.constant(value.dtype, value.shape, value.data!, value.name);
    this.put(value, constant);
    return constant;
  }

  put(value: Value, written: Value): void {
    this.#mapped.set(value, written);
  }

  /** With the graph's own outputs. */
  finish(): Graph {
    return this.b.finish(this.graph.outputs.map(({ name, value }) => ({ name, value: this.of(value) })));
  }
}
