// The two ceilings of a device, through the same runtime: a large product and a large copy. Prints one JSON line.
import { parseArgs } from 'node:util';
import { f32ToBf16 } from '../src/engine/checkpoint/halfFloat';
import { chooseDevice } from '../src/engine/execution/device';
import { Program } from '../src/engine/execution/program';
import { GraphBuilder } from '../src/engine/graph/builder';
import type { Graph, Value } from '../src/engine/graph/graph';
import { finish } from '../src/engine/graph/passes/finish';
import { Random } from '../src/engine/random';
import { openRuntime, type Runtime } from '../src/engine/session';

const { values } = parseArgs({
  options: {
    device: { type: 'string', default: 'cpu' },
    size: { type: 'string', default: '8192' },
    rounds: { type: 'string', default: '5' },
    dtype: { type: 'string', default: 'bfloat16' },
  },
});
const size = Number(values.size);
const dtype = values.dtype as 'bfloat16' | 'float32';

/** Seconds of a graph, the fastest of several runs. Random data: zeros multiply faster. */
async function fastest(runtime: Runtime, graph: Graph): Promise<number> {
  const program = await Program.open(runtime, graph, new Map());
  const random = new Random(1);
  const noise = Float32Array.from({ length: size * size }, () => random.uniform() - 0.5);
  for (const input of graph.inputs) program.feed(input.name, dtype === 'float32' ? noise : f32ToBf16(noise));
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round <= Number(values.rounds); round++) {
    const started = performance.now();
    await program.run();
    // The last number of a result that lies on the device is there only when the work is done.
    program.read('last');
    if (round > 0) best = Math.min(best, (performance.now() - started) / 1000);
  }
  program.release();
  return best;
}

/** A chain of `repeats` operations, so that starting and ending weigh little; a strip of the result is read. */
function chain(repeats: number, operation: (b: GraphBuilder, x: Value, w: Value) => Value): Graph {
  const b = new GraphBuilder('ceiling');
  const w = b.input('w', 'float32', [size, size]);
  let x = b.input('x', 'float32', [size, size]);
  for (let i = 0; i < repeats; i++) x = operation(b, x, w);
  const graph = b.finish([{ name: 'last', value: b.slice(x, 1, 0, 1) }]);
  return finish(graph, { compute: dtype, cache: dtype, device: chooseDevice(values.device).kind }, [
    'x',
    'w',
  ]);
}

const products = (repeats: number): Graph => chain(repeats, (b, x, w) => b.op('MatMul', [x, w], {}));
/** Reads and writes every element once. */
const copies = (repeats: number): Graph => chain(repeats, (b, x) => b.op('Neg', [x], {}));

async function main(): Promise<void> {
  const runtime = openRuntime({ device: chooseDevice(values.device) });
  try {
    const [few, many] = [2, 10];
    const between = async (graph: (repeats: number) => Graph): Promise<number> =>
      ((await fastest(runtime, graph(many))) - (await fastest(runtime, graph(few)))) / (many - few);
    const product = await between(products);
    const copy = await between(copies);
    const bytes = size * size * (dtype === 'float32' ? 4 : 2);
    console.log(
      JSON.stringify({
        device: values.device,
        dtype,
        size,
        productFlopsPerSecond: (2 * size ** 3) / product,
        copyBytesPerSecond: (2 * bytes) / copy,
      }),
    );
  } finally {
    await runtime.close();
  }
}

void main();
