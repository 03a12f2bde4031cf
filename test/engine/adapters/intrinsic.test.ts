// The random subspace: output and ∂z of the formulas for a given projection (test/reference/formulas.py); Fastfood is linear, its
// gradient is Pᵀ∂θ, its rows have the norm that the method promises and lie at right angles on average.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { intrinsic } from '../../../src/engine/adapters/intrinsic';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import type { PlannedTensor, ShapedName } from '../../../src/engine/adapters/variant';
import { backward } from '../../../src/engine/autodiff/backward';
import { elements } from '../../../src/engine/dtype';
import { Program } from '../../../src/engine/execution/program';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import type { Value } from '../../../src/engine/graph/graph';
import { lower } from '../../../src/engine/graph/passes/lower';
import { Random } from '../../../src/engine/random';
import { formulas, onRuntime } from './siteGraph';

const settingsOf = (d: number, projection: string): AdapterSettings =>
  ({
    settings: { intrinsic_dimension: d, projection, projection_scope: 'all', projection_seed: 5 },
  }) as unknown as AdapterSettings;

test('a dense projection gives the output and ∂z of the formulas', async () => {
  const golden = await formulas('intrinsic-dimension');
  const [outputs, inputs, d] = [5, 7, 3];
  const settings = settingsOf(d, 'dense');
  const b = new GraphBuilder('dense');
  const planned: Record<string, Value> = {
    intrinsic_z: b.input('z', 'float32', [d]),
    'intrinsic_P.weight': b.input('pw', 'float32', [outputs * inputs, d]),
    'intrinsic_P.bias': b.input('pb', 'float32', [outputs, d]),
  };
  const shift = intrinsic.shift!(b, settings, (name) => planned[name]);
  const moved = (name: string, shape: readonly number[]): Value =>
    b.add(b.input(name, 'float32', [...shape]), shift({ name, shape })!);
  const x = b.input('x', 'float32', [4, inputs]);
  const y = b.gemm(x, moved('weight', [outputs, inputs]), { transB: true, c: moved('bias', [outputs]) });
  assert.equal(shift({ name: 'other', shape: [2] }), undefined);
  const seed = b.input('delta', 'float32', [4, outputs]);
  const [grad] = backward(b, [{ value: y, gradient: seed }], [planned.intrinsic_z!]);
  const graph = lower(
    b.finish([
      { name: 'y', value: y },
      { name: 'grad', value: grad! },
    ]),
  );
  const [theta, projection] = [await golden('theta'), await golden('projection')];
  const count = outputs * inputs;
  await onRuntime(async (runtime) => {
    const program = await Program.open(runtime, graph, new Map());
    program.feed('z', await golden('z'));
    program.feed('pw', projection.slice(0, count * d));
    program.feed('pb', projection.slice(count * d));
    program.feed('weight', theta.slice(0, count));
    program.feed('bias', theta.slice(count));
    program.feed('x', await golden('x'));
    program.feed('delta', await golden('delta'));
    await program.run();
    close(program.read('y') as Float32Array, await golden('y'), 1e-5);
    close(program.read('grad') as Float32Array, await golden('grad_z'), 2e-5);
    program.release();
  });
});

const tensors: readonly ShapedName[] = [
  { name: 'weight', shape: [23, 17] },
  { name: 'norm', shape: [9] },
];

for (const [projection, d] of [
  ['fastfood', 1],
  ['fastfood', 2],
  ['fastfood', 12],
  ['fastfood', 16],
  ['fastfood', 100],
  ['dense', 12],
] as const) {
  test(`${projection} of ${d}: linear, ∂z = Pᵀ∂θ, rows of norm 1 on average`, async () => {
    const settings = settingsOf(d, projection);
    const planned = intrinsic.shared!([], settings, tensors);
    const random = new Random(8);
    const normal = (n: number) => Float32Array.from({ length: n }, () => random.normal());
    const deltas = tensors.map(({ shape }) => normal(elements(shape)));
    const run = await opened(planned, settings, deltas);
    const rows = Array.from({ length: d }, (_, j) =>
      run.at(Float32Array.from({ length: d }, (__, i) => (i === j ? 1 : 0))),
    );
    const z = normal(d);
    const whole = run.at(z);
    const total = whole.theta.length;
    const sum = Float32Array.from({ length: total }, (_, i) =>
      rows.reduce((s, row, j) => s + z[j]! * row.theta[i]!, 0),
    );
    close(whole.theta, sum, 1e-4);
    const delta = Float32Array.from(deltas.flatMap((part) => [...part]));
    const gradient = Float32Array.from({ length: d }, (_, j) =>
      rows[j]!.theta.reduce((s, p, i) => s + p * delta[i]!, 0),
    );
    close(whole.grad, gradient, 2e-3);
    const norms = Array.from({ length: total }, (_, i) =>
      rows.reduce((s, { theta }) => s + theta[i]! ** 2, 0),
    );
    const mean = norms.reduce((s, norm) => s + norm, 0) / total;
    assert.ok(Math.abs(mean - 1) < (d === 1 ? 0.3 : 0.25), `mean squared norm of a row is ${mean}`);
    assert.ok(run.at(new Float32Array(d)).theta.every((value) => value === 0));
  });
}

/** Δθ of all tensors, one after another, and ∂z for a gradient. */
async function opened(
  planned: readonly PlannedTensor[],
  settings: AdapterSettings,
  deltas: readonly Float32Array[],
) {
  const b = new GraphBuilder('projection');
  const values = new Map(planned.map(({ name, shape }) => [name, b.input(name, 'float32', [...shape])]));
  const shift = intrinsic.shift!(b, settings, (name) => values.get(name));
  const moved = tensors.map((tensor) => shift(tensor)!);
  const seeds = moved.map((value, i) => ({ value, gradient: b.input(`delta${i}`, 'float32', value.shape) }));
  const [grad] = backward(b, seeds, [values.get('intrinsic_z')!]);
  const outputs = [
    ...moved.map((value, i) => ({ name: `theta${i}`, value })),
    { name: 'grad', value: grad! },
  ];
  const graph = lower(b.finish(outputs));
  const results = new Map<string, { theta: Float32Array; grad: Float32Array }>();
  const d = planned[0]!.shape[0]!;
  // All inputs that the tests ask for are known beforehand: one process has one runtime at a time.
  const random = new Random(8);
  for (const { shape } of tensors) for (let i = elements(shape); i > 0; i--) random.normal();
  const inputs = [
    ...Array.from({ length: d }, (_, j) => Float32Array.from({ length: d }, (__, i) => (i === j ? 1 : 0))),
    Float32Array.from({ length: d }, () => random.normal()),
    new Float32Array(d),
  ];
  await onRuntime(async (runtime) => {
    const program = await Program.open(runtime, graph, new Map());
    for (const { name, initial } of planned.slice(1))
      program.feed(
        name,
        (await initial(new Random(0), () => Promise.reject(new Error('no base')))) as Float32Array,
      );
    for (const [i, delta] of deltas.entries()) program.feed(`delta${i}`, delta);
    for (const z of inputs) {
      program.feed('intrinsic_z', z);
      await program.run();
      const theta = Float32Array.from(
        moved.flatMap((_, i) => [...(program.read(`theta${i}`) as Float32Array)]),
      );
      results.set(z.join(), { theta, grad: (program.read('grad') as Float32Array).slice() });
    }
    program.release();
  });
  return { at: (z: Float32Array) => results.get(z.join())! };
}

function close(found: Float32Array, expected: Float32Array, tolerance: number): void {
  assert.equal(found.length, expected.length);
  const worst = found.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
  assert.ok(worst <= tolerance, `differs by ${worst}`);
}
