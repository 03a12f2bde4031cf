// Delta-LoRA against the algorithm itself (test/reference/formulas.py), in which the base weight really moves: losses, the
// trained pair, and the moved weight, which here is the LoRA form.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { deltaLora } from '../../../src/engine/adapters/deltaLora';
import { tensorsOfSite } from '../../../src/engine/adapters/plan';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import type { Site, SiteContext } from '../../../src/engine/adapters/variant';
import { backward } from '../../../src/engine/autodiff/backward';
import { readSafetensors, readTensor } from '../../../src/engine/checkpoint/safetensors';
import { Program } from '../../../src/engine/execution/program';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import { lower } from '../../../src/engine/graph/passes/lower';
import { openRuntime } from '../../../src/engine/session';

const folder = join('test', 'goldens', 'methods', 'formulas', 'delta-lora');
const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
after(() => runtime.close());

test('losses, pair and weight are those of the algorithm', async () => {
  const facts = JSON.parse(readFileSync(join(folder, 'facts.json'), 'utf8')) as {
    scaling: number;
    lambda: number;
    startStep: number;
    learningRate: number;
    losses: number[];
  };
  const { tensors } = await readSafetensors(join(folder, 'tensors.safetensors'));
  const golden = (name: string): Promise<Float32Array> => readTensor(tensors.get(name)!);
  const [steps, rows, inFeatures] = tensors.get('x')!.shape as [number, number, number];
  const [r, outFeatures] = [tensors.get('a')!.shape[0]!, tensors.get('b')!.shape[0]!];
  const site = {
    path: 'p',
    module: { kind: 'linear' },
    inFeatures,
    outFeatures,
    r,
    alpha: facts.scaling * r,
  } as Site;
  const settings = {
    use_rslora: false,
    init_lora_weights: true,
    settings: { delta_lambda: facts.lambda, delta_start: facts.startStep },
  } as unknown as AdapterSettings;
  const values = new Map<string, Float32Array>([
    ['p.lora_A.weight', await golden('a')],
    ['p.lora_B.weight', await golden('b')],
    ['p.delta_A', new Float32Array(r * inFeatures)],
    ['p.delta_B', new Float32Array(outFeatures * r)],
    ['p.delta_lambda', new Float32Array(1)],
  ]);
  const planned = deltaLora.parameters(site, settings);
  assert.deepEqual(planned.map(({ name }) => name).sort(), [...values.keys()].sort());

  const b = new GraphBuilder('delta');
  const x = b.input('x', 'float32', [rows, inFeatures]);
  const seed = b.input('seed', 'float32', [rows, outFeatures]);
  const weight = b.input('weight', 'float32', [outFeatures, inFeatures]);
  const inputs = new Map(planned.map(({ name, shape }) => [name, b.input(name, 'float32', shape)]));
  const context = {
    b,
    site,
    parameter: (name: string) => inputs.get(`p.${name}`)!,
    base: (value: typeof x) => b.gemm(value, weight, { transB: true }),
  } as unknown as SiteContext;
  const y = deltaLora.apply(context, x, settings);
  const learned = ['p.lora_A.weight', 'p.lora_B.weight'];
  const gradients = backward(
    b,
    [{ value: y, gradient: seed }],
    learned.map((name) => inputs.get(name)!),
  );
  const outputs = gradients.map((value, i) => ({ name: `gradient.${learned[i]}`, value: value! }));
  const program = await Program.open(
    runtime,
    lower(b.finish([{ name: 'y', value: y }, ...outputs])),
    new Map(),
  );
  program.feed('weight', await golden('weight'));
  const [xs, targets] = [await golden('x'), await golden('target')];
  const host = deltaLora.host!([site], settings, steps);
  const moments = new Map(
    learned.map((name) => [name, [0, 1].map(() => new Float64Array(values.get(name)!.length))]),
  );
  for (let step = 0; step < steps; step++) {
    for (const [name, data] of values) program.feed(name, data);
    program.feed('x', xs.subarray(step * rows * inFeatures, (step + 1) * rows * inFeatures));
    program.feed('seed', new Float32Array(rows * outFeatures));
    await program.run();
    const target = targets.subarray(step * rows * outFeatures, (step + 1) * rows * outFeatures);
    const error = (program.read('y') as Float32Array).map((value, i) => value - target[i]!);
    const loss = error.reduce((sum, e) => sum + e * e, 0) / error.length;
    const want = facts.losses[step]!;
    assert.ok(Math.abs(loss - want) <= 1e-5 * want, `step ${step}: ${loss}, not ${want}`);
    program.feed(
      'seed',
      error.map((e) => (2 * e) / error.length),
    );
    await program.run();
    for (const name of learned) {
      const gradient = program.read(`gradient.${name}`) as Float32Array;
      const [m, v] = moments.get(name)! as [Float64Array, Float64Array];
      values.set(
        name,
        values.get(name)!.map((p, i) => {
          m[i] = 0.9 * m[i]! + 0.1 * gradient[i]!;
          v[i] = 0.999 * v[i]! + 0.001 * gradient[i]! ** 2;
          const root = Math.sqrt(v[i]! / (1 - 0.999 ** (step + 1)));
          return p - (facts.learningRate * (m[i]! / (1 - 0.9 ** (step + 1)))) / (root + 1e-8);
        }),
      );
    }
    host.afterUpdate({
      step: step + 1,
      parameters: () => values,
      gradients: () => new Map(),
      write: (changed) => {
        for (const [name, data] of changed) values.set(name, data.slice());
      },
      resetOptimizer: () => {},
    });
  }
  program.release();
  close(values.get('p.lora_A.weight')!, await golden('final_a'), 'A');
  close(values.get('p.lora_B.weight')!, await golden('final_b'), 'B');
  const form = deltaLora.loraForm!(site, tensorsOfSite(values, site), settings);
  const [base, a, up] = [
    await golden('weight'),
    values.get('p.lora_A.weight')!,
    values.get('p.lora_B.weight')!,
  ];
  const moved = base.map((value, i) => {
    const [o, k] = [Math.floor(i / inFeatures), i % inFeatures];
    let sum = value;
    for (let j = 0; j < 2 * r; j++) sum += form.b[o * 2 * r + j]! * form.a[j * inFeatures + k]!;
    // The form holds the adapter too; the algorithm's weight does not.
    for (let j = 0; j < r; j++) sum -= facts.scaling * up[o * r + j]! * a[j * inFeatures + k]!;
    return sum;
  });
  close(moved, await golden('final_weight'), 'W');
});

function close(found: Float32Array, expected: Float32Array, what: string): void {
  assert.equal(found.length, expected.length, what);
  found.forEach((value, i) => {
    assert.ok(Math.abs(value - expected[i]!) <= 2e-5, `${what}[${i}] is ${value}, not ${expected[i]}`);
  });
}
