// The limit: how long the runtime takes for the step's matrix products alone. Walks the gradient graph, runs every distinct
// product by itself with the same shapes, transposes and threads, and adds up. Prints one JSON line.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { gradientGraph } from '../src/engine/compile/gradientGraph';
import { planSlabs } from '../src/engine/compile/slabs';
import { elements } from '../src/engine/dtype';
import { Program } from '../src/engine/execution/program';
import { GraphBuilder } from '../src/engine/graph/builder';
import type { Graph, Node, OpName } from '../src/engine/graph/graph';
import { lower } from '../src/engine/graph/passes/lower';
import { Random } from '../src/engine/random';
import { openRuntime, type Runtime } from '../src/engine/session';
import { benchModel } from './workload';

const { values } = parseArgs({
  options: {
    config: { type: 'string' },
    batch: { type: 'string', default: '4' },
    length: { type: 'string', default: '256' },
    threads: { type: 'string', default: '2' },
    rounds: { type: 'string', default: '5' },
    checkpointing: { type: 'string', default: 'selective' },
  },
});

const products: readonly OpName[] = ['Gemm', 'MatMul', 'FusedMatMul'];

interface Product {
  node: Node;
  count: number;
  flops: number;
}

/** Distinct products of a graph: operator, attributes and shapes. */
function distinctProducts(graph: Graph): Product[] {
  const found = new Map<string, Product>();
  for (const node of graph.nodes) {
    if (!products.includes(node.op)) continue;
    const key = JSON.stringify([node.op, node.attributes, node.inputs.map((input) => input?.shape)]);
    const known = found.get(key);
    if (known) known.count++;
    else found.set(key, { node, count: 1, flops: flopsOf(node) });
  }
  return [...found.values()];
}

function flopsOf(node: Node): number {
  const a = node.attributes as { transA?: number };
  const inner = a.transA ? node.inputs[0]!.shape.at(-2)! : node.inputs[0]!.shape.at(-1)!;
  return 2 * inner * elements(node.outputs[0]!.shape);
}

let noise = new Float32Array(0);

/** Random data (never zeros, which multiply faster); all operands share one source, copied when they are fed. */
function randomNumbers(count: number): Float32Array {
  if (noise.length < count) {
    const random = new Random(3);
    noise = Float32Array.from({ length: count }, () => random.uniform() - 0.5);
  }
  return noise.subarray(0, count);
}

/** Seconds of one product alone: the fastest of many runs, on operands that change place in memory as in a step. */
async function secondsOf(runtime: Runtime, product: Product, rounds: number): Promise<number> {
  const { node } = product;
  const repeats = Math.max(1, Math.min(8, Math.round(1e9 / product.flops)));
  const b = new GraphBuilder('product');
  const results = [];
  const fed: [string, Float32Array][] = [];
  for (let i = 0; i < repeats; i++) {
    const inputs = node.inputs.map((input, k) => {
      if (!input) return null;
      const name = `x${i}_${k}`;
      fed.push([name, randomNumbers(elements(input.shape))]);
      return b.input(name, 'float32', input.shape);
    });
    results.push(b.op(node.op, inputs, node.attributes as never));
  }
  const program = await Program.open(
    runtime,
    lower(b.finish(results.map((value, i) => ({ name: `y${i}`, value })))),
    new Map(),
  );
  for (const [name, data] of fed) program.feed(name, data);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds + 1; round++) {
    const started = performance.now();
    await program.run();
    if (round > 0) best = Math.min(best, (performance.now() - started) / 1000 / repeats);
  }
  program.release();
  return best;
}

async function main(): Promise<void> {
  const config = JSON.parse(readFileSync(values.config!, 'utf8')) as Record<string, unknown>;
  const { model, plan } = benchModel(config);
  const { graph } = gradientGraph({
    model,
    plan,
    slabs: planSlabs(plan.tensors),
    rows: Number(values.batch),
    length: Number(values.length),
    packing: false,
    accumulate: false,
    checkpointing: values.checkpointing as 'selective',
    dropoutPool: 0,
  });
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: Number(values.threads) });
  let seconds = 0;
  let flops = 0;
  const table = [];
  for (const product of distinctProducts(graph)) {
    const each = await secondsOf(runtime, product, Number(values.rounds));
    seconds += each * product.count;
    flops += product.flops * product.count;
    table.push({
      shapes: product.node.inputs.map((input) => input?.shape.join('×')).join(' · '),
      count: product.count,
      milliseconds: each * 1000 * product.count,
      gflops: product.flops / each / 1e9,
    });
  }
  table.sort((x, y) => y.milliseconds - x.milliseconds);
  console.log(
    JSON.stringify({
      seconds,
      flops,
      gflopsPerSecond: flops / seconds / 1e9,
      nodes: graph.nodes.length,
      table,
    }),
  );
  await runtime.close();
}

void main();
