// `node bench/gpu.mjs --census`: where a training step would spend its time on a GPU, by a roofline over every operator of the
// gradient and update programs, beside the same model of PEFT + PyTorch. A model, no measurement (costs.ts has its constants).
//   --models a,b  files of bench/models   --batches 1,4,8   --length 1024   --rank 16   --checkpointing selective,none
//   --packing     rows of several examples, whose attention has a mask of its own
//   --nodes       every operator of one layer, forward and backward, and of what is around the layers
//   --json FILE   all of it
//   --set name=value,…  other constants
//   --optimized   the graphs as ONNX Runtime's CUDA provider sees them after its rewrites: on a GPU, or with stand-ins for CUDA's
//                 libraries (LORA_WORKBENCH_CUDA_FOLDER); else as they are encoded
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type AdapterPlan, planAdapter } from '../../src/engine/adapters/plan';
import { bareSettings } from '../../src/engine/adapters/settings';
import { gradientGraph } from '../../src/engine/compile/gradientGraph';
import { joiningOf } from '../../src/engine/compile/projections';
import { updateGraph } from '../../src/engine/compile/updateGraph';
import { byteSize } from '../../src/engine/dtype';
import { liveness } from '../../src/engine/estimate/liveness';
import { joinRule } from '../../src/engine/execution/joining';
import type { Graph } from '../../src/engine/graph/graph';
import { precisionFor } from '../../src/engine/graph/precision';
import type { Model } from '../../src/engine/models/architecture';
import { modelFromConfig } from '../../src/engine/models/registry';
import { optimizerOf, slabsFor } from '../../src/engine/optim/registry';
import { openRuntime, type Runtime } from '../../src/engine/session';
import { plainTrainer } from '../../src/engine/train/trainer';
import { type Cost, costOf, type Kind, kindOf, kinds, machine, type OperatorUse } from './costs';
import { encodedOperators, optimizedOperators } from './optimizedGraph';
import { peftStep } from './peftStep';

const { values } = parseArgs({
  options: {
    models: { type: 'string', default: 'llama-3.2-1b,llama-3.1-8b' },
    batches: { type: 'string', default: '1,4,8' },
    length: { type: 'string', default: '1024' },
    rank: { type: 'string', default: '16' },
    checkpointing: { type: 'string', default: 'selective,none' },
    packing: { type: 'boolean', default: false },
    nodes: { type: 'boolean', default: false },
    json: { type: 'string' },
    set: { type: 'string', default: '' },
    optimized: { type: 'boolean', default: false },
  },
});
const list = (text: string): string[] => text.split(',').filter(Boolean);
for (const pair of list(values.set)) {
  const [name, value] = pair.split('=') as [keyof typeof machine, string];
  if (!(name in machine) || !(Number(value) > 0))
    throw new Error(
      `--set ${pair}: expected one of ${Object.keys(machine).join(', ')} and a number above 0.`,
    );
  machine[name] = Number(value);
}

interface Summary {
  /** Device seconds by kind. */
  shares: Map<Kind, number>;
  deviceSeconds: number;
  hostSeconds: number;
  kernels: number;
  /** Products of base and head alone, as the share of the product rate counts them. */
  modelFlops: number;
  peakBytes: number;
}

function summaryOf(costs: readonly { kind: Kind; cost: Cost }[], peakBytes: number): Summary {
  const shares = new Map<Kind, number>();
  let [deviceSeconds, hostSeconds, kernels, modelFlops] = [0, 0, 0, 0];
  for (const { kind, cost } of costs) {
    shares.set(kind, (shares.get(kind) ?? 0) + cost.seconds);
    deviceSeconds += cost.seconds;
    hostSeconds += cost.hostSeconds;
    kernels += cost.kernels;
    if (kind === 'products of the base' || kind === 'products of the head') modelFlops += cost.flops;
  }
  return { shares, deviceSeconds, hostSeconds, kernels, modelFlops, peakBytes };
}

/** The gradient and update programs of a step as a run on CUDA compiles them. */
function programs(
  model: Model,
  plan: AdapterPlan,
  rows: number,
  checkpointing: 'selective' | 'none' | 'full',
) {
  const settings = { ...plainTrainer, gradient_checkpointing: checkpointing };
  const slabs = slabsFor(plan.tensors, settings);
  const gradient = gradientGraph({
    model,
    plan,
    slabs,
    rows,
    length: Number(values.length),
    packing: values.packing,
    accumulate: false,
    checkpointing,
    dropoutPool: 0,
    precision: precisionFor('bfloat16', 'cuda'),
    joining: joiningOf(model, new Map(), joinRule('cuda', {})),
  });
  const update = updateGraph(slabs, optimizerOf(settings.optim), settings, 'cuda', plan);
  return { gradient, update, trained: slabs.reduce((sum, { length }) => sum + length, 0) };
}

async function operatorsOf(runtime: Runtime | undefined, graph: Graph): Promise<OperatorUse[]> {
  return runtime ? optimizedOperators(runtime, graph) : encodedOperators(graph);
}

const seconds = (s: number): string => (1000 * s).toFixed(1);
const gib = (bytes: number): string => (bytes / 2 ** 30).toFixed(1);

function row(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}

function table(columns: readonly { name: string; of: Summary; tokens: number }[]): string {
  const [first] = columns;
  const step = ({ deviceSeconds, hostSeconds }: Summary): number => Math.max(deviceSeconds, hostSeconds);
  const cells = (name: string, cell: (column: (typeof columns)[number]) => string): string =>
    row([name, ...columns.map(cell)]);
  return [
    cells('', ({ name }) => name),
    row(['---', ...columns.map(() => '--:')]),
    ...kinds
      .filter((kind) => columns.some(({ of }) => of.shares.has(kind)))
      .map((kind) => cells(`${kind}, ms`, ({ of }) => seconds(of.shares.get(kind) ?? 0))),
    cells('device, ms', ({ of }) => seconds(of.deviceSeconds)),
    cells('host, ms', ({ of }) => seconds(of.hostSeconds)),
    cells('kernels', ({ of }) => String(of.kernels)),
    cells('peak memory, GiB', ({ of }) => gib(of.peakBytes)),
    cells('tokens/s (longer of both)', ({ of, tokens }) =>
      Math.round(tokens / step(of)).toLocaleString('en'),
    ),
    cells('tokens/s (device alone)', ({ of, tokens }) =>
      Math.round(tokens / of.deviceSeconds).toLocaleString('en'),
    ),
    cells('against the last column', ({ of }) => `${(step(columns.at(-1)!.of) / step(of)).toFixed(2)}×`),
    cells(
      'of the product rate',
      ({ of }) => `${Math.round((100 * (first?.of.modelFlops ?? 0)) / machine.productRate / step(of))} %`,
    ),
  ].join('\n');
}

/** Operators of the second layer and of no layer, equal ones added up, the slowest first. */
function nodeTable(uses: readonly OperatorUse[]): string {
  const groups = new Map<string, { count: number; cost: Cost; use: OperatorUse }>();
  for (const use of uses) {
    const layer = /layers\.(\d+)/.exec(use.scope)?.[1];
    if (layer !== undefined && layer !== '1') continue;
    const cost = costOf(use, machine);
    const shown = [...use.inputs, ...use.outputs].map((t) => (t ? `${t.dtype}[${t.shape.join(',')}]` : '–'));
    const key = `${use.operator} ${use.scope} ${shown.join()}`;
    const known = groups.get(key);
    if (known) known.count++;
    else groups.set(key, { count: 1, cost, use });
  }
  const type = (t: { dtype: string; shape: readonly number[] } | null): string =>
    t ? `${t.dtype.replace('float', 'f').replace('bf', 'b')}[${t.shape.join(',')}]` : '–';
  return [
    row(['µs', 'times', 'kind', 'operator', 'scope', 'kernels', 'MB', 'GFLOP', 'inputs → outputs']),
    row(Array(9).fill('---')),
    ...[...groups.values()]
      .sort((a, b) => b.count * b.cost.seconds - a.count * a.cost.seconds)
      .map(({ count, cost, use }) =>
        row([
          (1e6 * count * cost.seconds).toFixed(1),
          String(count),
          cost.kernels ? kindOf(use) : 'view',
          use.operator.replace('com.microsoft.', ''),
          use.scope,
          String(cost.kernels),
          (cost.bytes / 1e6).toFixed(1),
          (cost.flops / 1e9).toFixed(1),
          `${use.inputs.map(type).join(' ')} → ${use.outputs.map(type).join(' ')}`,
        ]),
      ),
  ].join('\n');
}

async function main(): Promise<void> {
  const runtime = values.optimized ? openRuntime({ device: { kind: 'cuda' } }) : undefined;
  console.log(
    `A model, not a measurement: length ${values.length}, LoRA r=${values.rank} on all linear layers, bf16${values.packing ? ', packed rows' : ''}; graphs ${runtime ? "as ONNX Runtime's CUDA provider rewrites them" : 'as encoded, before ONNX Runtime rewrites them'}.`,
  );
  console.log(JSON.stringify(machine));
  const all: object[] = [];
  for (const name of list(values.models)) {
    const model = modelFromConfig(JSON.parse(readFileSync(join('bench', 'models', `${name}.json`), 'utf8')));
    const r = Number(values.rank);
    const plan = planAdapter(model, {
      ...bareSettings('lora'),
      r,
      lora_alpha: 2 * r,
      target_modules: 'all-linear',
    });
    for (const rows of list(values.batches).map(Number)) {
      const tokens = rows * Number(values.length);
      const columns: { name: string; of: Summary; tokens: number }[] = [];
      let trained = 0;
      for (const checkpointing of list(values.checkpointing) as 'selective'[]) {
        const step = programs(model, plan, rows, checkpointing);
        trained = step.trained;
        const [gradient, update] = [
          await operatorsOf(runtime, step.gradient.graph),
          await operatorsOf(runtime, step.update),
        ];
        const costs = [
          ...gradient.map((use) => ({ kind: kindOf(use), cost: costOf(use, machine) })),
          ...update.map((use) => ({ kind: 'optimizer' as const, cost: costOf(use, machine) })),
        ];
        const weights = step.gradient.graph.inputs
          .filter((input) => step.gradient.baseInputs.includes(input.name))
          .reduce((sum, { dtype, shape }) => sum + byteSize(dtype, shape), 0);
        const peak = weights + 16 * trained + liveness(step.gradient.graph).peakBytes;
        columns.push({ name: checkpointing, of: summaryOf(costs, peak), tokens });
        if (values.nodes) console.log(`\n${name}, ${rows} rows, ${checkpointing}\n\n${nodeTable(gradient)}`);
      }
      const peft = peftStep(model, rows, Number(values.length), r, trained, machine);
      columns.push({ name: 'PEFT', of: summaryOf(peft.costs, peft.peakBytes), tokens });
      console.log(`\n${name}, ${rows} × ${values.length}\n\n${table(columns)}`);
      for (const { name: column, of } of columns)
        all.push({ model: name, rows, column, ...of, shares: Object.fromEntries(of.shares) });
    }
  }
  await runtime?.close();
  if (values.json) writeFileSync(values.json, JSON.stringify({ machine, results: all }, null, 1));
}

void main();
