// One adapted module as a graph of its own: outputs, extra losses and gradients, for comparison with formulas.
import { join } from 'node:path';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import type { Site, SiteContext, Variant } from '../../../src/engine/adapters/variant';
import { backward } from '../../../src/engine/autodiff/backward';
import { readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { Program } from '../../../src/engine/execution/program';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import type { Value } from '../../../src/engine/graph/graph';
import { lower } from '../../../src/engine/graph/passes/lower';
import { openRuntime, type Runtime } from '../../../src/engine/session';

/** A tensor reader of test/goldens/methods/formulas/<name>. */
export async function formulas(name: string): Promise<(part: string) => Promise<Float32Array>> {
  const path = join('test', 'goldens', 'methods', 'formulas', name, 'tensors.safetensors');
  const { tensors } = await readSafetensors(path);
  return (part) => readTensor(tensors.get(part)!);
}

export interface SiteRun {
  y: Float32Array;
  /** Σ coefficient · value of the extra losses. */
  extra: number;
  /** Of Σ(δ⊙y) + extra, by tensor name; `x` the input's. */
  gradients: Map<string, Float32Array>;
  /** What the method hands out, by name. */
  observed: Map<string, Float32Array>;
}

/** Runs a method at one module whose base output is zero. Shapes by name; x [N, in], delta [N, out]. */
export function runSite(...given: Tail<Parameters<typeof siteRun>>): Promise<SiteRun> {
  return onRuntime((runtime) => siteRun(runtime, ...given));
}

type Tail<T extends readonly unknown[]> = T extends [unknown, ...infer Rest] ? Rest : never;

/** A process has one runtime at a time, and runs open their own. */
export async function onRuntime<T>(use: (runtime: Runtime) => Promise<T>): Promise<T> {
  const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
  try {
    return await use(runtime);
  } finally {
    await runtime.close();
  }
}

async function siteRun(
  runtime: Runtime,
  variant: Variant,
  site: Site,
  settings: AdapterSettings,
  x: Float32Array,
  delta: Float32Array,
  tensors: Readonly<Record<string, { shape: readonly number[]; data: Float32Array }>>,
): Promise<SiteRun> {
  const rows = x.length / site.inFeatures;
  const b = new GraphBuilder('site');
  const input = b.input('x', 'float32', [rows, site.inFeatures]);
  const seed = b.input('delta', 'float32', [rows, site.outFeatures]);
  const values = new Map(
    Object.entries(tensors).map(([name, { shape }]) => [name, b.input(name, 'float32', [...shape])]),
  );
  const losses: { value: Value; coefficient: number }[] = [];
  const observed: { name: string; value: Value }[] = [];
  const context = {
    b,
    site,
    training: true,
    siteCount: 1,
    parameter: (name: string) => values.get(name)!,
    base: () => b.fill([rows, site.outFeatures], 0),
    dropout: (value: Value) => ({ value, keepScale: 1 }),
    addLoss: (_: string, value: Value, coefficient: number) => losses.push({ value, coefficient }),
    observe: (name: string, value: Value) => observed.push({ name: `observed ${name}`, value }),
  } as unknown as SiteContext;
  const y = variant.apply(context, input, settings);
  const wanted = ['x', ...values.keys()];
  const gradients = backward(
    b,
    [
      { value: y, gradient: seed },
      ...losses.map(({ value, coefficient }) => ({ value, gradient: b.scalar(coefficient) })),
    ],
    [input, ...values.values()],
  );
  const outputs = [
    { name: 'y', value: y },
    ...losses.map(({ value }, i) => ({ name: `loss ${i}`, value })),
    ...wanted.flatMap((name, i) => (gradients[i] ? [{ name: `grad ${name}`, value: gradients[i] }] : [])),
    ...observed,
  ];
  const program = await Program.open(runtime, lower(b.finish(outputs)), new Map());
  program.feed('x', x);
  program.feed('delta', delta);
  for (const [name, { data }] of Object.entries(tensors)) program.feed(name, data);
  await program.run();
  const read = (name: string): Float32Array => (program.read(name) as Float32Array).slice();
  const run: SiteRun = {
    y: read('y'),
    extra: losses.reduce((sum, { coefficient }, i) => sum + coefficient * read(`loss ${i}`)[0]!, 0),
    gradients: new Map(
      wanted.flatMap((name, i) => (gradients[i] ? [[name, read(`grad ${name}`)] as const] : [])),
    ),
    observed: new Map(observed.map(({ name }) => [name.replace('observed ', ''), read(name)])),
  };
  program.release();
  return run;
}
