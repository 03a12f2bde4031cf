// Joins products that read the same activation: x·W1ᵀ, x·W2ᵀ become x·[W1; W2]ᵀ and a split; on the way back δ1·W1 + δ2·W2
// becomes [δ1 δ2]·[W1; W2], and gradients of narrow factors δ1ᵀ·x, δ2ᵀ·x become [δ1 δ2]ᵀ·x. Fewer kernels, the same numbers
// but for the order of sums. Base weights must lie one behind the other (`groups`); narrow trained factors, LoRA's A, are
// put together in the graph. Comes before precision and lowering; knows no models and no methods.
import { invariant } from '../../errors';
import { GraphBuilder } from '../builder';
import type { Graph, Node, Value } from '../graph';
import { opDefinition } from '../ops';
import { sameShape } from '../shape';

/**
 * Whether a join is made.
 * @param saved kernels that the device starts less often; may be negative.
 * @param moved elements that are read or written beyond what the products apart move; may be negative.
 */
export type JoinRule = (saved: number, moved: number) => boolean;

export interface Joining {
  /** Input names of base tensors that lie one behind the other, in that order. */
  groups: readonly (readonly string[])[];
  rule: JoinRule;
}

/** The input that holds all of these, one behind the other along the first axis. */
export function joinedName(names: readonly string[]): string {
  return names.join(' + ');
}

/** Rows of a trained factor that is copied to be joined: LoRA's ranks, no whole weights. */
const narrow = 256;

/** An equal program, and the joined base tensors that it takes in the place of their parts. */
export function joinProducts(
  graph: Graph,
  joining: Joining | undefined,
): { graph: Graph; inputs: readonly string[] } {
  if (!joining) return { graph, inputs: [] };
  return new JoinPass(graph, joining).run();
}

/** A base tensor's place in its group. */
interface Place {
  group: number;
  at: number;
}

interface Product {
  node: Node;
  left: Value;
  right: Value;
  c: Value | undefined;
}

class JoinPass {
  readonly #b: GraphBuilder;
  readonly #mapped = new Map<Value, Value>();
  /** One entry for every time that a value is read. */
  readonly #readers = new Map<Value, Node[]>();
  readonly #results: ReadonlySet<Value>;
  readonly #index: ReadonlyMap<Node, number>;
  readonly #places = new Map<string, Place>();
  /** Nodes that are not written as they stand. */
  readonly #gone = new Set<Node>();
  /** What is written in a node's place. */
  readonly #instead = new Map<Node, () => void>();
  readonly #joinedInputs = new Map<string, Value>();
  readonly #concats = new Map<string, Value>();

  constructor(
    private readonly graph: Graph,
    private readonly joining: Joining,
  ) {
    this.#b = new GraphBuilder(graph.name);
    this.#index = new Map(graph.nodes.map((node, i) => [node, i]));
    this.#results = new Set(graph.outputs.map(({ value }) => value));
    for (const node of graph.nodes) {
      for (const input of node.inputs) {
        if (!input) continue;
        const list = this.#readers.get(input);
        if (list) list.push(node);
        else this.#readers.set(input, [node]);
      }
    }
    joining.groups.forEach((names, group) => {
      names.forEach((name, at) => {
        this.#places.set(name, { group, at });
      });
    });
  }

  run(): { graph: Graph; inputs: readonly string[] } {
    const { graph } = this;
    const b = this.#b;
    this.#planForward();
    this.#planSums();
    this.#planGradients();
    for (const input of graph.inputs) this.#mapped.set(input, b.input(input.name, input.dtype, input.shape));
    for (const node of graph.nodes) {
      b.scope(node.scope, () => {
        this.#instead.get(node)?.();
        if (!this.#gone.has(node)) this.#copy(node);
      });
    }
    const whole = b.finish(graph.outputs.map(({ name, value }) => ({ name, value: this.#map(value) })));
    const read = new Set(whole.nodes.flatMap(({ inputs }) => inputs));
    const inputs = whole.inputs.filter((input) => read.has(input) || !this.#places.has(input.name));
    return { graph: { ...whole, inputs }, inputs: [...this.#joinedInputs.keys()] };
  }

  /** x·W1ᵀ, x·W2ᵀ, … */
  #planForward(): void {
    const found = this.#products(0, 1);
    for (const { members, base } of this.#sets(found, ({ left }) => left, true)) {
      const { left, c } = members[0]!;
      const first = members.reduce(
        (a, { node }) => (this.#at(node) < this.#at(a) ? node : a),
        members[0]!.node,
      );
      const widths = members.map(({ right }) => right.shape[0]!);
      const biases = members.flatMap((member) => member.c ?? []);
      const whole = biases.length === 0 || this.#consecutive(biases);
      const before = [...(base ? [] : members.map(({ right }) => right)), ...(whole ? [] : biases)];
      const ready = before.every((value) => this.#madeBefore(value, first));
      const vectors = biases.every((bias, i) => sameShape(bias.shape, [widths[i]!]));
      if (!ready || !vectors) continue;
      const [rows, inner] = left.shape as [number, number];
      const width = sum(widths);
      const copies = (base ? 0 : 1) + (whole ? 0 : 1);
      const moved = 2 * rows * width + (base ? 0 : 2 * width * inner - (members.length - 1) * rows * inner);
      if (!this.joining.rule(members.length - 2 - copies, moved)) continue;
      this.#replace(members, first, () => {
        const right = this.#factor(members, base);
        const bias = c && (whole ? this.#joined(biases) : this.#concat(biases, 0));
        const product = this.#gemm(members[0]!, this.#map(left), right, bias);
        this.#b.split(product, 1, widths).forEach((part, i) => {
          this.#mapped.set(members[i]!.node.outputs[0]!, part);
        });
      });
    }
  }

  /** … + δ1·W1 + δ2·W2 + … */
  #planSums(): void {
    for (const root of this.graph.nodes) {
      if (!isSum(root) || this.#isInner(root.outputs[0]!)) continue;
      const sums: Node[] = [];
      const terms = this.#terms(root, sums);
      const found = this.#products(0, 0, terms);
      const sets = this.#sets(found, () => root.outputs[0]!, false).filter(({ members, base }) => {
        const [rows, inner] = root.outputs[0]!.shape as [number, number];
        const width = sum(members.map(({ right }) => right.shape[0]!));
        const count = members.length;
        const moved = 2 * rows * width + (base ? 0 : 2 * width * inner) - 3 * (count - 1) * rows * inner;
        return this.joining.rule(2 * count - 3 - (base ? 0 : 1), moved);
      });
      if (sets.length === 0) continue;
      const setOf = new Map(sets.flatMap((set) => set.members.map(({ node }) => [node, set] as const)));
      for (const node of [...sums, ...setOf.keys()]) this.#gone.add(node);
      this.#instead.set(root, () => {
        const written = new Set<object>();
        const values = terms.flatMap((term) => {
          const set = term.producer && setOf.get(term.producer);
          if (!set) return [this.#map(term)];
          if (written.has(set)) return [];
          written.add(set);
          const { members, base } = set;
          const left = this.#concat(
            members.map((member) => member.left),
            1,
          );
          return [this.#gemm(members[0]!, left, this.#factor(members, base))];
        });
        this.#mapped.set(
          root.outputs[0]!,
          values.reduce((total, value) => this.#b.add(total, value)),
        );
      });
    }
  }

  /** δ1ᵀ·x, δ2ᵀ·x, … of narrow factors. */
  #planGradients(): void {
    const found = this.#products(1, 0).filter(({ left, c }) => left.shape[1]! <= narrow && !c);
    for (const members of groupBy(found, ({ node, right }) => `${right.name} ${alphaOf(node)}`)) {
      if (members.length < 2) continue;
      const last = members.at(-1)!.node;
      const end = this.#at(last);
      const later = members.every(({ node }) =>
        (this.#readers.get(node.outputs[0]!) ?? []).every((reader) => this.#at(reader) > end),
      );
      const { right } = members[0]!;
      const [rows, inner] = right.shape as [number, number];
      const widths = members.map(({ left }) => left.shape[1]!);
      const moved = 2 * sum(widths) * (rows + inner) - (members.length - 1) * rows * inner;
      if (!later || !this.joining.rule(members.length - 3, moved)) continue;
      this.#replace(members, last, () => {
        const left = this.#concat(
          members.map((member) => member.left),
          1,
        );
        const product = this.#gemm(members[0]!, left, this.#map(right));
        this.#b.split(product, 0, widths).forEach((part, i) => {
          this.#mapped.set(members[i]!.node.outputs[0]!, part);
        });
      });
    }
  }

  #replace(members: readonly Product[], at: Node, write: () => void): void {
    for (const { node } of members) this.#gone.add(node);
    this.#instead.set(at, write);
  }

  /** Products op(A)·op(B) in order, of the whole graph or only those whose results are in `among`. */
  #products(transA: 0 | 1, transB: 0 | 1, among?: readonly Value[]): Product[] {
    const nodes = among ? among.flatMap((value) => value.producer ?? []) : this.graph.nodes;
    return nodes.flatMap((node) => {
      if (node.op !== 'Gemm' || node.attributes.transA !== transA || node.attributes.transB !== transB)
        return [];
      const output = node.outputs[0]!;
      const alone = this.#readers.get(output)?.length === 1 && !this.#results.has(output) && !node.inputs[2];
      if ((among && !alone) || this.#gone.has(node)) return [];
      return [{ node, left: node.inputs[0]!, right: node.inputs[1]!, c: node.inputs[2] ?? undefined }];
    });
  }

  /** Sets of two and more products that can be joined: neighbours of one group of base weights, or narrow trained factors. */
  #sets(
    products: readonly Product[],
    shared: (product: Product) => Value,
    withBias: boolean,
  ): { members: Product[]; base: boolean }[] {
    const key = (product: Product, kind: string): string =>
      `${shared(product).name} ${kind} ${alphaOf(product.node)} ${withBias && product.c ? 'biased' : ''}`;
    const based = products.filter(({ right }) => this.#place(right));
    const trained = products.filter(
      ({ right }) => right.producer && right.shape[0]! <= narrow && movesInput(right),
    );
    const runs = groupBy(based, (product) => key(product, `group ${this.#place(product.right)!.group}`));
    return [
      ...runs.flatMap((members) =>
        this.#runs(members).map((run) => ({ members: run, base: true as boolean })),
      ),
      ...groupBy(trained, (product) => key(product, 'narrow')).map((members) => ({ members, base: false })),
    ].filter(({ members }) => members.length > 1);
  }

  /** Cuts products of one group into runs whose weights follow one another. */
  #runs(members: readonly Product[]): Product[][] {
    const at = (product: Product): number => this.#place(product.right)!.at;
    const runs: Product[][] = [];
    for (const member of [...members].sort((a, b) => at(a) - at(b))) {
      const run = runs.at(-1);
      const last = run?.at(-1);
      if (last && at(last) === at(member)) continue;
      if (last && at(last) + 1 === at(member)) run!.push(member);
      else runs.push([member]);
    }
    return runs;
  }

  #place(value: Value): Place | undefined {
    return value.producer || value.data ? undefined : this.#places.get(value.name);
  }

  #consecutive(values: readonly Value[]): boolean {
    return values.every((value, i) => {
      const [place, previous] = [this.#place(value), i > 0 ? this.#place(values[i - 1]!) : undefined];
      return place && (i === 0 || (previous?.group === place.group && previous.at + 1 === place.at));
    });
  }

  /** Position in the graph. */
  #at(node: Node): number {
    return this.#index.get(node)!;
  }

  #madeBefore(value: Value, node: Node): boolean {
    return !value.producer || this.#at(value.producer) < this.#at(node);
  }

  /** Whether a value is a sum that goes into another sum of its shape and nowhere else. */
  #isInner(value: Value): boolean {
    const readers = this.#readers.get(value) ?? [];
    return readers.length === 1 && isSum(readers[0]!) && !this.#results.has(value);
  }

  #terms(node: Node, sums: Node[]): Value[] {
    sums.push(node);
    return node.inputs.flatMap((input) =>
      input!.producer && isSum(input!.producer) && this.#isInner(input!)
        ? this.#terms(input!.producer, sums)
        : [input!],
    );
  }

  #factor(members: readonly Product[], base: boolean): Value {
    const factors = members.map(({ right }) => right);
    return base ? this.#joined(factors) : this.#concat(factors, 0);
  }

  /** The input that holds base tensors one behind the other. */
  #joined(parts: readonly Value[]): Value {
    const name = joinedName(parts.map((part) => part.name));
    let value = this.#joinedInputs.get(name);
    if (!value) {
      const rows = sum(parts.map(({ shape }) => shape[0]!));
      value = this.#b.input(name, parts[0]!.dtype, [rows, ...parts[0]!.shape.slice(1)]);
      this.#joinedInputs.set(name, value);
    }
    return value;
  }

  #concat(parts: readonly Value[], axis: 0 | 1): Value {
    const key = `${axis} ${joinedName(parts.map((part) => part.name))}`;
    let value = this.#concats.get(key);
    if (!value) {
      value = this.#b.concat(
        parts.map((part) => this.#map(part)),
        axis,
      );
      this.#concats.set(key, value);
    }
    return value;
  }

  #gemm({ node }: Product, left: Value, right: Value, c?: Value): Value {
    const inputs = c ? [left, right, c] : [left, right];
    return this.#b.apply('Gemm', inputs, node.attributes as never, { name: 'joined', keep: node.keep })[0]!;
  }

  #copy(node: Node): void {
    const inputs = node.inputs.map((input) => input && this.#map(input));
    const results = this.#b.apply(node.op, inputs, node.attributes as never, {
      name: node.op,
      keep: node.keep,
    });
    node.outputs.forEach((output, i) => {
      this.#mapped.set(output, results[i]!);
    });
  }

  #map(value: Value): Value {
    const known = this.#mapped.get(value);
    if (known) return known;
    invariant(value.data, `${value.name} is made before it is read`);
    const constant = this.#b.constant(value.dtype, value.shape, value.data, value.name);
    this.#mapped.set(value, constant);
    return constant;
  }
}

/** A sum of two values of its own shape, matrices. */
function isSum({ op, inputs, outputs }: Node): boolean {
  const { shape } = outputs[0]!;
  return op === 'Add' && shape.length === 2 && inputs.every((input) => sameShape(input!.shape, shape));
}

/** Whether a value is an input of the graph, moved. */
function movesInput({ producer, data }: Value): boolean {
  if (!producer) return data === undefined;
  return (
    opDefinition(producer.op).precision === 'moves' &&
    producer.inputs.every((input) => input !== null && movesInput(input))
  );
}

function alphaOf({ attributes }: Node): number {
  return (attributes.alpha as { float: number }).float;
}

function groupBy<T>(items: readonly T[], key: (item: T) => string): T[][] {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const own = key(item);
    const group = groups.get(own);
    if (group) group.push(item);
    else groups.set(own, [item]);
  }
  return [...groups.values()];
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
