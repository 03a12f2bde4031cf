// Where a step's time goes: the runtime's own profile of the gradient program, summed by operator. Prints one JSON line with the
// fastest run's milliseconds and the number of nodes of each operator.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { gradientGraph } from '../src/engine/compile/gradientGraph';
import { planSlabs } from '../src/engine/compile/slabs';
import { elements } from '../src/engine/dtype';
import { feedBatch } from '../src/engine/execution/feedBatch';
import { Program } from '../src/engine/execution/program';
import { Random } from '../src/engine/random';
import { openRuntime } from '../src/engine/session';
import { benchModel, randomBatch } from './workload';

const { values } = parseArgs({
  options: {
    config: { type: 'string' },
    batch: { type: 'string', default: '4' },
    length: { type: 'string', default: '256' },
    threads: { type: 'string', default: '2' },
    checkpointing: { type: 'string', default: 'selective' },
  },
});

interface ProfileEvent {
  cat: string;
  name: string;
  /** Start and duration, in microseconds. */
  ts: number;
  dur: number;
  args: { op_name?: string };
}

const runs = 6;

async function main(): Promise<void> {
  const { model, plan } = benchModel(JSON.parse(readFileSync(values.config!, 'utf8')));
  const [rows, length] = [Number(values.batch), Number(values.length)];
  const { graph } = gradientGraph({
    model,
    plan,
    slabs: planSlabs(plan.tensors),
    rows,
    length,
    packing: false,
    accumulate: false,
    checkpointing: values.checkpointing as 'selective',
    dropoutPool: 0,
  });
  const folder = mkdtempSync(join(tmpdir(), 'lora-workbench-profile-'));
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: Number(values.threads) });
  const program = await Program.open(runtime, graph, new Map(), { profilePrefix: join(folder, 'profile') });
  const random = new Random(4);
  for (const { name, dtype, shape } of graph.inputs) {
    if (dtype !== 'float32') continue;
    program.feed(
      name,
      Float32Array.from({ length: elements(shape) }, () => 0.07 * (random.uniform() - 0.5)),
    );
  }
  for (let i = 0; i < runs; i++) {
    feedBatch(program, randomBatch(random, rows, length, model.vocabularySize), 1 / (rows * length));
    await program.run();
  }
  const events = JSON.parse(readFileSync(program.endProfiling(), 'utf8')) as ProfileEvent[];
  await runtime.close();
  rmSync(folder, { recursive: true, force: true });

  const starts = events.filter((e) => e.name === 'model_run').map((e) => e.ts);
  const perRun = starts.map((start, i) => {
    const end = starts[i + 1] ?? Number.POSITIVE_INFINITY;
    const sums = new Map<string, { milliseconds: number; nodes: number }>();
    for (const e of events) {
      if (e.cat !== 'Node' || !e.name.endsWith('_kernel_time') || e.ts < start || e.ts >= end) continue;
      const sum = sums.get(e.args.op_name!) ?? { milliseconds: 0, nodes: 0 };
      sums.set(e.args.op_name!, { milliseconds: sum.milliseconds + e.dur / 1000, nodes: sum.nodes + 1 });
    }
    return sums;
  });
  const total = (sums: Map<string, { milliseconds: number }>): number =>
    [...sums.values()].reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  const fastest = perRun.reduce((a, b) => (total(b) < total(a) ? b : a));
  const table = [...fastest]
    .map(([op, sum]) => ({ op, ...sum }))
    .sort((a, b) => b.milliseconds - a.milliseconds);
  console.log(JSON.stringify({ milliseconds: total(fastest), table }));
}

void main();
