// Reverse-mode differentiation on the graph. Comes in: a builder that holds the forward graph, seeds (values with their
// gradients) and the parameters. Goes out: the parameters' gradients, built after the forward nodes. Nothing is built for
// inputs that lead to no parameter. Forward values are kept or recomputed by the checkpointing policy.
import { invariant } from '../errors';
import type { GraphBuilder } from '../graph/builder';
import type { Keep, Node, Value } from '../graph/graph';
import { sameShape, showShape } from '../graph/shape';
import type { GradientContext, Gradients } from './rule';
import { gradientRow } from './table';

/** Which forward values the backward pass keeps: all, all but the cheap ones, or only the block boundaries. */
export type Checkpointing = 'none' | 'selective' | 'full';

const recomputed: Record<Checkpointing, ReadonlySet<Keep>> = {
  none: new Set(['never']),
  selective: new Set(['never', 'cheap']),
  full: new Set(['never', 'cheap', 'product']),
};

export interface Seed {
  value: Value;
  gradient: Value;
}

/**
 * Gradients of Σ ⟨seed.value, seed.gradient⟩ with respect to `parameters`, in their order; null where none arrives.
 */
export function backward(
  b: GraphBuilder,
  seeds: readonly Seed[],
  parameters: readonly Value[],
  checkpointing: Checkpointing = 'none',
): (Value | null)[] {
  const forward = [...b.nodes];
  const trained = leadingTo(forward, parameters);
  const gradients = new Map<Value, Value>();
  const saved = savedValues(b, recomputed[checkpointing]);

  const accumulate = (value: Value, gradient: Value): void => {
    invariant(
      sameShape(value.shape, gradient.shape),
      `the gradient ${showShape(gradient.shape)} of ${value.name} has its shape ${showShape(value.shape)}`,
    );
    const sum = gradients.get(value);
    gradients.set(value, sum ? b.add(sum, gradient) : gradient);
  };
  for (const seed of seeds) if (trained.has(seed.value)) accumulate(seed.value, seed.gradient);

  for (let i = forward.length - 1; i >= 0; i--) {
    const node = forward[i]!;
    if (!node.outputs.some((output) => gradients.has(output))) continue;
    const needs = node.inputs.map((input) => input !== null && trained.has(input));
    if (!needs.some(Boolean)) continue;
    const row = gradientRow(node.op, node.scope);
    if ('stop' in row) continue;
    const result = b.scope(`grad.${node.scope}`, () => row.grad(contextOf(b, node, needs, gradients, saved)));
    node.inputs.forEach((input, position) => {
      const gradient = result[position];
      if (input && gradient && needs[position]) accumulate(input, gradient);
    });
    // A value's gradient is complete once its producer is reached; letting go of it keeps the map small.
    for (const output of node.outputs) gradients.delete(output);
  }
  return parameters.map((parameter) => gradients.get(parameter) ?? null);
}

/** Every value from which a parameter's influence can be felt, the parameters included. */
function leadingTo(nodes: readonly Node[], parameters: readonly Value[]): Set<Value> {
  const reached = new Set(parameters);
  for (const node of nodes) {
    if (!node.inputs.some((input) => input && reached.has(input))) continue;
    if ('stop' in gradientRow(node.op, node.scope)) continue;
    for (const output of node.outputs) reached.add(output);
  }
  return reached;
}

/** Hands out forward values to gradient rules: the value itself, or a copy made again from kept ones (once per value). */
function savedValues(b: GraphBuilder, again: ReadonlySet<Keep>): (value: Value) => Value {
  const copies = new Map<Node, readonly Value[]>();
  const saved = (value: Value): Value => {
    const node = value.producer;
    if (!node || !again.has(keepOf(node, value.outputIndex))) return value;
    // Statistics (second and later outputs) are small: they stay.
    if (value.outputIndex > 0 && node.op.endsWith('Normalization')) return value;
    let copy = copies.get(node);
    if (!copy) {
      copy = b.again(
        node,
        node.inputs.map((input) => input && saved(input)),
      );
      copies.set(node, copy);
    }
    return copy[value.outputIndex]!;
  };
  return saved;
}

function keepOf(node: Node, output: number): Keep {
  return typeof node.keep === 'string' ? node.keep : node.keep[output]!;
}

function contextOf(
  b: GraphBuilder,
  node: Node,
  needs: readonly boolean[],
  gradients: ReadonlyMap<Value, Value>,
  saved: (value: Value) => Value,
): GradientContext {
  return {
    b,
    attributes: node.attributes,
    inputCount: node.inputs.length,
    input: (i) => saved(node.inputs[i]!),
    output: (i) => saved(node.outputs[i]!),
    dOutput: (i) => gradients.get(node.outputs[i]!) ?? b.fill(node.outputs[i]!.shape, 0),
    has: (i) => gradients.has(node.outputs[i]!),
    needs: (i) => needs[i] ?? false,
    shape: (i) => node.inputs[i]!.shape,
  };
}

export type { Gradients };
