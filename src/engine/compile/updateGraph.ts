// Compiles the optimizer step over all slabs: global-norm clipping, then one chain of element-by-element nodes per slab. State
// may be updated in place; the compiler proves it.
import type { AdapterPlan } from '../adapters/plan';
import type { Site } from '../adapters/variant';
import { invariant } from '../errors';
import { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { lower } from '../graph/passes/lower';
import { verify, verifyInPlace } from '../graph/verify';
import type { Optimizer, OptimizerSettings } from '../optim/optimizer';
import { deviceShape, type Slab } from './slabs';

/**
 * Inputs: `<slab>`, `<slab>.<slot>`, `<slab>.gradient`, the optimizer's scalars, the constants of the method's gradient
 * transform by the names of `transformConstants`. Outputs: `<slab>.next`,
 * `<slab>.<slot>.next`, `norm` (before clipping). A gradient that is not finite counts as zero, so that a failed step leaves
 * finite numbers; the norm then tells.
 */
export function updateGraph(
  all: readonly Slab[],
  optimizer: Optimizer,
  settings: OptimizerSettings,
  plan?: AdapterPlan,
): Graph {
  const b = new GraphBuilder('update');
  const slabs = all.filter((slab) => !slab.frozen);
  const scalars = new Map<string, Value>();
  const scalar = (name: string): Value => {
    if (!scalars.has(name)) scalars.set(name, b.input(name, 'float32', []));
    return scalars.get(name)!;
  };
  const shapes = new Map(transformConstants(plan).map(({ name, shape }) => [name, shape]));
  const constants = new Map<string, Value>();
  const constant = (name: string): Value => {
    const shape = shapes.get(name);
    invariant(shape, `${name} is a constant of the gradient transform`);
    if (!constants.has(name)) constants.set(name, b.input(name, 'float32', shape));
    return constants.get(name)!;
  };
  const gradients = slabs.map((slab) => b.input(`${slab.name}.gradient`, 'float32', [slab.length]));
  const squares = gradients.map((g) => b.op('ReduceSumSquare', [g], { axes: [0], keepdims: 0 }));
  const norm = b.op('Sqrt', [squares.reduce((sum, square) => b.add(sum, square))], {});
  const finite = b.op('Less', [norm, b.scalar(3e38)], {});
  // torch.nn.utils.clip_grad_norm_: factor min(1, max/(norm + 1e-6))
  const factor =
    settings.max_grad_norm > 0
      ? b.op('Min', [b.div(b.scalar(settings.max_grad_norm), b.add(norm, b.scalar(1e-6))), b.scalar(1)], {})
      : b.scalar(1);

  const outputs: { name: string; value: Value }[] = [{ name: 'norm', value: norm }];
  const pairs: { input: string; output: string }[] = [];
  const next = (name: string, value: Value): void => {
    outputs.push({ name: `${name}.next`, value });
    pairs.push({ input: name, output: `${name}.next` });
  };
  slabs.forEach((slab, i) => {
    const clipped = b.op('Where', [finite, b.mul(gradients[i]!, factor), b.scalar(0)], {});
    const gradient = plan ? transformed(b, slab, clipped, plan, constant) : clipped;
    const parameter = b.input(slab.name, 'float32', [slab.length]);
    const slots = Object.fromEntries(
      optimizer.slots.map((slot) => [slot, b.input(`${slab.name}.${slot}`, 'float32', [slab.length])]),
    );
    const moved = b.scope(slab.name, () =>
      optimizer.update({ b, parameter, gradient, slots, group: slab.group, settings, scalar }),
    );
    next(slab.name, moved.parameter);
    for (const slot of optimizer.slots) next(`${slab.name}.${slot}`, moved.slots[slot]!);
  });
  const graph = lower(b.finish(outputs));
  verify(graph);
  verifyInPlace(graph, pairs);
  return graph;
}

/** What a method's gradient transform takes, by input name; values come from the adapter's tensors. */
export function transformConstants(plan: AdapterPlan | undefined): {
  name: string;
  shape: readonly number[];
  site: Site;
  value(tensor: (name: string) => Float32Array): Float32Array;
}[] {
  const transform = plan?.variant.gradientTransform;
  if (!plan || !transform) return [];
  return [...plan.sites.values()].flatMap((site) =>
    transform
      .constants(site, plan.settings)
      .map((constant) => ({ ...constant, name: `${site.path}.${constant.name}`, site })),
  );
}

/** A slab's clipped gradient as the method hands it to the optimizer. */
function transformed(
  b: GraphBuilder,
  slab: Slab,
  gradient: Value,
  plan: AdapterPlan,
  constant: (name: string) => Value,
): Value {
  const { variant, settings, sites } = plan;
  const { gradientTransform: transform } = variant;
  if (!transform) return gradient;
  const parts = b.split(
    gradient,
    0,
    slab.entries.map(({ count }) => count),
  );
  const changed = slab.entries.map(({ tensor, count }, i) => {
    const site = tensor.site === undefined ? undefined : sites.get(tensor.site);
    if (!site) return parts[i]!;
    const own = b.reshape(parts[i]!, deviceShape(tensor));
    const name = tensor.name.slice(site.path.length + 1);
    const result = transform.apply(b, site, name, own, (n) => constant(`${site.path}.${n}`), settings);
    return result === own ? parts[i]! : b.reshape(result, [count]);
  });
  return changed.every((part, i) => part === parts[i]) ? gradient : b.concat(changed, 0);
}
