// Compiles the optimizer step over all slabs: global-norm clipping, then one chain of nodes per slab. State may be updated in
// place; the compiler proves it. Slabs whose state is elsewhere have a graph of their own, a piece at a time.
import type { AdapterPlan } from '../adapters/plan';
import type { Site } from '../adapters/variant';
import { invariant } from '../errors';
import { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { lower } from '../graph/passes/lower';
import type { Precision } from '../graph/precision';
import { verify, verifyInPlace } from '../graph/verify';
import type { Optimizer, OptimizerSettings } from '../optim/optimizer';
import { deviceShape, type Slab } from './slabs';

/**
 * Inputs: `<slab>`, `<slab>.<slot>`, `<slab>.gradient`, the optimizer's scalars, the constants of the method's gradient
 * transform by the names of `transformConstants`. Outputs: `<slab>.next`,
 * `<slab>.<slot>.next`, `norm` (before clipping). A gradient that is not finite counts as zero, so that a failed step leaves
 * finite numbers; the norm then tells. Slabs that `streamed` names count in the norm alone.
 */
export function updateGraph(
  all: readonly Slab[],
  optimizer: Optimizer,
  settings: OptimizerSettings,
  device: Precision['device'],
  plan?: AdapterPlan,
  streamed: (slab: Slab) => boolean = () => false,
): Graph {
  const b = new GraphBuilder('update');
  const slabs = all.filter((slab) => !slab.frozen);
  const gradients = slabs.map((slab) => b.input(`${slab.name}.gradient`, 'float32', [slab.length]));
  const squares = gradients.map((g) => b.op('ReduceSumSquare', [g], { axes: [0], keepdims: 0 }));
  const norm = b.op('Sqrt', [squares.reduce((sum, square) => b.add(sum, square))], {});
  const step = new SlabSteps(b, optimizer, settings, norm, device, plan);
  slabs.forEach((slab, i) => {
    if (!streamed(slab)) step.add(slab, gradients[i]!);
  });
  return step.finish([{ name: 'norm', value: norm }]);
}

/** The same step for one piece of a slab, as a slab of its own. Takes `norm` in, since it counts all gradients. */
export function pieceGraph(
  piece: Slab,
  optimizer: Optimizer,
  settings: OptimizerSettings,
  device: Precision['device'],
  plan?: AdapterPlan,
): Graph {
  const b = new GraphBuilder('update of a piece');
  const gradient = b.input(`${piece.name}.gradient`, 'float32', [piece.length]);
  const step = new SlabSteps(b, optimizer, settings, b.input('norm', 'float32', []), device, plan);
  step.add(piece, gradient);
  return step.finish([]);
}

/** The chains of nodes of some slabs, in one graph. */
class SlabSteps {
  readonly #outputs: { name: string; value: Value }[] = [];
  readonly #pairs: { input: string; output: string }[] = [];
  readonly #scalars = new Map<string, Value>();
  readonly #constants = new Map<string, Value>();
  readonly #shapes: ReadonlyMap<string, readonly number[]>;
  readonly #finite: Value;
  readonly #factor: Value;

  constructor(
    private readonly b: GraphBuilder,
    private readonly optimizer: Optimizer,
    private readonly settings: OptimizerSettings,
    norm: Value,
    private readonly device: Precision['device'],
    private readonly plan: AdapterPlan | undefined,
  ) {
    this.#shapes = new Map(transformConstants(plan).map(({ name, shape }) => [name, shape]));
    this.#finite = b.op('Less', [norm, b.scalar(3e38)], {});
    // torch.nn.utils.clip_grad_norm_: factor min(1, max/(norm + 1e-6))
    this.#factor =
      settings.max_grad_norm > 0
        ? b.op('Min', [b.div(b.scalar(settings.max_grad_norm), b.add(norm, b.scalar(1e-6))), b.scalar(1)], {})
        : b.scalar(1);
  }

  add(slab: Slab, raw: Value): void {
    const { b, optimizer, settings, plan } = this;
    const clipped = b.op('Where', [this.#finite, b.mul(raw, this.#factor), b.scalar(0)], {});
    const gradient = plan ? transformed(b, slab, clipped, plan, (name) => this.#constant(name)) : clipped;
    const parameter = b.input(slab.name, 'float32', [slab.length]);
    const slots = Object.fromEntries(
      optimizer
        .slots(slab, settings)
        .map(({ name, dtype, shape }) => [name, b.input(`${slab.name}.${name}`, dtype, shape)]),
    );
    const scalar = (name: string): Value => this.#scalar(name);
    const moved = b.scope(slab.name, () =>
      optimizer.update({ b, slab, parameter, gradient, slots, settings, scalar }),
    );
    this.#next(slab.name, moved.parameter);
    for (const [slot, value] of Object.entries(moved.slots)) this.#next(`${slab.name}.${slot}`, value);
  }

  finish(more: readonly { name: string; value: Value }[]): Graph {
    const graph = lower(this.b.finish([...more, ...this.#outputs]), this.device);
    verify(graph);
    verifyInPlace(graph, this.#pairs);
    return graph;
  }

  #next(name: string, value: Value): void {
    this.#outputs.push({ name: `${name}.next`, value });
    this.#pairs.push({ input: name, output: `${name}.next` });
  }

  #scalar(name: string): Value {
    if (!this.#scalars.has(name)) this.#scalars.set(name, this.b.input(name, 'float32', []));
    return this.#scalars.get(name)!;
  }

  #constant(name: string): Value {
    const shape = this.#shapes.get(name);
    invariant(shape, `${name} is a constant of the gradient transform`);
    if (!this.#constants.has(name)) this.#constants.set(name, this.b.input(name, 'float32', shape));
    return this.#constants.get(name)!;
  }
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
