// Gives the values of a complete fp32 graph (forward, backward, loss) their element types for 16-bit compute, by the column
// `precision` of the operator table. Models, methods and gradient rules know nothing of it.
//
// Inputs stay fp32, but for those named in `stored` (base weights), which lie in the compute type. Outputs stay fp32, but for
// the key/value cache. A value has one natural type; another is one cast away, made once and shared. Constants and single
// numbers take the type of what they meet, as in torch.
import { f32ToBf16, f32ToF16 } from '../../checkpoint/halfFloat';
import { elements } from '../../dtype';
import { GraphBuilder } from '../builder';
import type { ConstantData, Graph, GraphOutput, Node, Value } from '../graph';
import { opDefinition } from '../ops';
import type { FloatType, Precision } from '../precision';

/** What became of one fp32 value. */
interface Typed {
  /** The value by type; the natural one is always there. */
  forms: Map<FloatType, Value>;
  natural: FloatType;
  /** Takes the type of what it meets. */
  weak: boolean;
}

/** An equal program in mixed precision; the graph itself where everything is fp32. */
export function withPrecision(graph: Graph, precision: Precision, stored: ReadonlySet<string>): Graph {
  if (precision.compute === 'float32' && precision.cache === 'float32') return graph;
  return new PrecisionPass(graph, precision, stored).run();
}

class PrecisionPass {
  readonly #b: GraphBuilder;
  readonly #typed = new Map<Value, Typed>();
  /** Values that are no fp32. */
  readonly #others = new Map<Value, Value>();

  constructor(
    private readonly graph: Graph,
    private readonly precision: Precision,
    private readonly stored: ReadonlySet<string>,
  ) {
    this.#b = new GraphBuilder(graph.name);
  }

  run(): Graph {
    const { graph } = this;
    const cached = cacheInputs(graph);
    for (const input of graph.inputs) this.#input(input, cached);
    for (const node of graph.nodes) this.#b.scope(node.scope, () => this.#node(node));
    return this.#b.finish(graph.outputs.map((output) => this.#output(output)));
  }

  #input(input: Value, cached: ReadonlySet<Value>): void {
    const { compute, cache } = this.precision;
    if (input.dtype !== 'float32') {
      this.#others.set(input, this.#b.input(input.name, input.dtype, input.shape));
      return;
    }
    const natural = cached.has(input) ? cache : this.stored.has(input.name) ? compute : 'float32';
    this.#define(input, natural, this.#b.input(input.name, natural, input.shape), false);
  }

  #output({ name, value }: GraphOutput): GraphOutput {
    if (value.dtype !== 'float32') return { name, value: this.#other(value) };
    const isCache = value.producer?.op === 'GroupQueryAttention' && value.outputIndex > 0;
    return { name, value: this.#as(value, isCache ? this.precision.cache : 'float32') };
  }

  #node(node: Node): void {
    const { compute, cache } = this.precision;
    const rule = opDefinition(node.op).precision;
    const floats = node.inputs.filter((input): input is Value => input?.dtype === 'float32');
    const strong = floats.map((input) => this.#of(input)).filter((typed) => !typed.weak);
    const follows = rule === 'follows' || rule === 'moves';
    const type: FloatType =
      rule === 'half'
        ? compute
        : rule === 'cache'
          ? cache
          : follows && strong.length > 0 && strong.every(({ natural }) => natural === compute)
            ? compute
            : 'float32';
    const results = this.#apply(node, type);
    node.outputs.forEach((output, i) => {
      const result = results[i]!;
      if (output.dtype !== 'float32') {
        this.#others.set(output, result);
        return;
      }
      const natural = result.dtype as FloatType;
      this.#define(output, natural, result, follows && strong.length === 0);
      // What leaves the rotation or the cache's attention is stored as any other activation.
      const narrowed = (rule === 'through float32' || rule === 'cache') && i === 0 && natural !== compute;
      if (narrowed) this.#define(output, compute, this.#cast(result, compute), false);
    });
  }

  #apply(node: Node, type: FloatType): readonly Value[] {
    const { exact } = opDefinition(node.op);
    const inputs = node.inputs.map((input, i) => {
      if (input === null) return null;
      if (input.dtype !== 'float32') return this.#other(input);
      return this.#as(input, exact?.includes(i) ? 'float32' : type);
    });
    return this.#b.apply(node.op, inputs, node.attributes as never, { name: node.op, keep: node.keep });
  }

  #define(value: Value, natural: FloatType, result: Value, weak: boolean): void {
    const single = elements(value.shape) === 1 && value.shape.length === 0;
    this.#typed.set(value, { forms: new Map([[natural, result]]), natural, weak: weak || single });
  }

  #of(value: Value): Typed {
    let typed = this.#typed.get(value);
    if (!typed) {
      // A constant: made in the type in which it is first asked for.
      typed = { forms: new Map(), natural: 'float32', weak: true };
      this.#typed.set(value, typed);
    }
    return typed;
  }

  #as(value: Value, type: FloatType): Value {
    const typed = this.#of(value);
    let form = typed.forms.get(type);
    if (!form) {
      form = this.#made(value, typed, type);
      typed.forms.set(type, form);
    }
    return form;
  }

  #made(value: Value, typed: Typed, type: FloatType): Value {
    const b = this.#b;
    if (value.data) return b.constant(type, value.shape, converted(value.data, type), value.name);
    const { producer } = value;
    if (producer?.op === 'Fill') {
      const number = Float32Array.of((producer.attributes.value as { float: number }).float);
      return b.op('Expand', [b.constant(type, [], converted(number, type))], { shape: value.shape });
    }
    // A trained tensor is a view of a slab: the slab is cast once, instead of each of its tensors.
    if (producer && type !== 'float32' && viewsOfInput(value)) {
      const results = this.#apply(producer, type);
      producer.outputs.forEach((output, i) => {
        this.#of(output).forms.set(type, results[i]!);
      });
      return results[value.outputIndex]!;
    }
    return this.#cast(typed.forms.get(typed.natural)!, type);
  }

  #cast(value: Value, to: FloatType): Value {
    return this.#b.op('Cast', [value], { to });
  }

  #other(value: Value): Value {
    let other = this.#others.get(value);
    if (!other) {
      other = this.#b.constant(value.dtype, value.shape, value.data!, value.name);
      this.#others.set(value, other);
    }
    return other;
  }
}

/** Inputs that hold past keys and values. */
function cacheInputs(graph: Graph): Set<Value> {
  const found = new Set<Value>();
  for (const { op, inputs } of graph.nodes) {
    if (op === 'GroupQueryAttention') for (const i of [3, 4]) if (inputs[i]) found.add(inputs[i]);
  }
  return found;
}

/** Whether a value is an input of the graph, moved. */
function viewsOfInput(value: Value): boolean {
  const { producer } = value;
  if (!producer) return value.data === undefined;
  return (
    opDefinition(producer.op).precision === 'moves' &&
    producer.inputs.every((input) => input !== null && viewsOfInput(input))
  );
}

/** fp32 numbers in another type. What float16 cannot hold becomes its largest number: a masked score stays a number. */
function converted(data: ConstantData, type: FloatType): ConstantData {
  const values = data as Float32Array;
  if (type === 'float32') return values;
  if (type === 'bfloat16') return f32ToBf16(values);
  return f32ToF16(values.map((x) => Math.min(65504, Math.max(-65504, x))));
}
