// Compiles "loss and gradients of one micro-batch": forward, chunked loss, backward, flat gradients. One graph per batch
// shape; the optimizer has a graph of its own (updateGraph.ts), so that all shapes share it.
import type { AdapterPlan } from '../adapters/plan';
import { backward, type Checkpointing, type Seed } from '../autodiff/backward';
import { elements } from '../dtype';
import { invariant } from '../errors';
import { GraphBuilder } from '../graph/builder';
import type { Graph, Value } from '../graph/graph';
import { finish } from '../graph/passes/finish';
import { foldProducts } from '../graph/passes/fold';
import { type Joining, joinProducts } from '../graph/passes/join';
import { verifyInPlace } from '../graph/verify';
import type { Model } from '../models/architecture';
import type { AttentionBuilder } from '../models/attention';
import { type BatchGraphOptions, batchForward, batchInputs, inputsOf } from './batchForward';
import { dropoutPoolLength, PooledDropout } from './dropout';
import type { ExtraLoss } from './forward';
import { chunkedLoss, lossRows } from './loss';
import { type Slab, slabGradients, slabViews } from './slabs';

export interface GradientGraphOptions extends BatchGraphOptions {
  plan: AdapterPlan;
  slabs: readonly Slab[];
  /** Whether gradients add up over several micro-batches. */
  accumulate: boolean;
  checkpointing: Checkpointing;
  /** Length of the dropout pool; 0 without dropout. */
  dropoutPool: number;
  /** Default: every earlier token. */
  attention?: AttentionBuilder;
  /** Products that are joined. Default: none. */
  joining?: Joining | undefined;
}

/**
 * Inputs: `ids`, `positions`, (`segments`) int64 [B, S]; `targets` int64 [N], `weights` float32 [N]; the slabs; with
 * accumulation `<slab>.gradient`, `carry` (bool: whether they count) and `extra_share` (1/micro-batches); with dropout `dropout_pool`, `dropout_offset.N`, `dropout_end.N`;
 * the base tensors by name. Outputs: `loss`, `<slab>.gradient.next`, and `<name>` of every extra loss.
 */
export interface GradientProgram {
  graph: Graph;
  baseInputs: readonly string[];
  /** Elements of each mask that a run draws. */
  dropoutMasks: readonly number[];
  extraLosses: readonly { name: string; coefficient: number }[];
}

export function gradientGraph(o: GradientGraphOptions): GradientProgram {
  const b = new GraphBuilder(`gradient ${o.rows}x${o.length}`);
  const inputs = batchInputs(b, o);
  const targets = b.input('targets', 'int64', [inputs.tokens]);
  const weights = b.input('weights', 'float32', [inputs.tokens]);
  const trained = slabViews(b, o.slabs, o.precision?.device);
  const probability = o.plan.settings.lora_dropout;
  const dropout = o.dropoutPool > 0 ? new PooledDropout(b, probability, o.dropoutPool) : undefined;
  const losses: ExtraLoss[] = [];
  const adapters = { plan: o.plan, trained, training: true, dropout, losses };
  const { forward, hidden } = batchForward(b, o, inputs, adapters, o.attention);
  const task = chunkedLoss(b, {
    hidden,
    targets,
    weights,
    head: (x) => forward.linear(o.model.head.path, x),
    chunk: lossRows(o.precision?.device, o.model.vocabularySize, inputs.tokens),
    headTrains: headTrains(o.plan, o.model),
  });
  // An extra loss counts once per step, so that each of its micro-batches has a share.
  // Under float16 the share carries the loss scale, as the weights of the tokens do.
  const shared = o.accumulate || o.precision?.compute === 'float16';
  const share = shared && losses.length > 0 ? b.input('extra_share', 'float32', []) : b.scalar(1);
  const seeds: Seed[] = [...task.seeds];
  for (const loss of losses)
    seeds.push({
      value: loss.value,
      gradient: b.scale(b.reshape(share, loss.value.shape), loss.coefficient),
    });

  const learning = o.slabs.filter((slab) => !slab.frozen);
  const names = learning.flatMap((slab) => slab.entries.map((entry) => entry.tensor.name));
  const gradients = backward(
    b,
    seeds,
    names.map((name) => trained.get(name)!),
    o.checkpointing,
  );
  const byName = new Map(names.map((name, i) => [name, gradients[i] ?? null]));
  const flat = slabGradients(b, learning, byName, o.precision?.device);
  const outputs = [
    { name: 'loss', value: task.loss },
    ...losses.map((loss) => ({ name: loss.name, value: loss.value })),
  ];
  const carry = o.accumulate ? b.input('carry', 'bool', []) : undefined;
  for (const [i, slab] of learning.entries()) {
    outputs.push({ name: `${slab.name}.gradient.next`, value: accumulated(b, slab, flat[i]!, carry) });
  }

  const joined = joinProducts(b.finish(outputs), o.joining);
  const folded = foldProducts(joined.graph, o.joining?.rule);
  const graph = finish(folded, o.precision, [...forward.storedInputs, ...joined.inputs]);
  if (o.accumulate) {
    verifyInPlace(
      graph,
      learning.map((slab) => ({ input: `${slab.name}.gradient`, output: `${slab.name}.gradient.next` })),
    );
  }
  return {
    graph,
    baseInputs: inputsOf(graph, [...forward.baseInputs, ...joined.inputs]),
    dropoutMasks: dropout?.lengths ?? [],
    extraLosses: losses.map(({ name, coefficient }) => ({ name, coefficient })),
  };
}

/** The micro-batch's gradient, plus what earlier ones left where `carry` says so. */
function accumulated(b: GraphBuilder, slab: Slab, gradient: Value, carry: Value | undefined): Value {
  if (!carry) return gradient;
  const earlier = b.input(`${slab.name}.gradient`, 'float32', [slab.length]);
  return b.add(gradient, b.op('Where', [carry, earlier, b.scalar(0)], {}));
}

/** Whether the head's weight, bias or adapter trains. */
function headTrains(plan: AdapterPlan, model: Model): boolean {
  const { path } = model.head;
  return (
    plan.sites.has(path) ||
    plan.replaced.has(`${path}.weight`) ||
    plan.replaced.has(`${path}.bias`) ||
    plan.variant.shift !== undefined
  );
}

/** Pool length that serves every mask of a run whose batches have up to `tokens` positions; 0 without dropout. */
export function dropoutPoolFor(plan: AdapterPlan, tokens: number): number {
  if (plan.settings.lora_dropout === 0 || plan.sites.size === 0) return 0;
  const widest = Math.max(
    ...[...plan.sites.values()].map((site) => (site.module.kind === 'embedding' ? 0 : site.inFeatures)),
  );
  invariant(elements([tokens, widest]) < 2 ** 31, 'a dropout mask fits into one tensor');
  return dropoutPoolLength(tokens * widest);
}
