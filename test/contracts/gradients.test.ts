// Every row of the gradient table against central finite differences, through the real encoder and runtime.
import assert from 'node:assert/strict';
import { after, type TestContext, test } from 'node:test';
import { backward } from '../../src/engine/autodiff/backward';
import type { Sample, SampleInput } from '../../src/engine/autodiff/rule';
import { gradientRows } from '../../src/engine/autodiff/table';
import { elements } from '../../src/engine/dtype';
import { GraphBuilder } from '../../src/engine/graph/builder';
import { cudaGaps, describeGap } from '../../src/engine/graph/cudaKernels';
import type { OpName, Value } from '../../src/engine/graph/graph';
import { lower } from '../../src/engine/graph/passes/lower';
import { verify } from '../../src/engine/graph/verify';
import { encodeModel } from '../../src/engine/onnx/encode';
import { Random } from '../../src/engine/random';
import type { Runtime } from '../../src/engine/session';
import { contractDevice, contractRuntime } from './contractRuntime';

const runtime: Runtime = contractRuntime();
after(() => runtime.close());

for (const [op, row] of gradientRows()) {
  if ('stop' in row) {
    test(`${op} lets no gradient through: ${row.stop}`, () => assert.ok(row.stop.length > 3));
    continue;
  }
  row.samples.forEach((sample, i) => {
    test(`gradient of ${op}, sample ${i}`, { skip: row.surrogate }, (t) => checkSample(t, op, sample));
  });
}

test('an operator without a rule is an error that names it', () => {
  const b = new GraphBuilder('missing');
  const x = b.input('x', 'float32', [2]);
  const y = b.op('Neg', [x], {});
  b.nodes[0] = { ...b.nodes[0]!, op: 'Cosh' as OpName, scope: 'here' };
  assert.throws(() => backward(b, [{ value: y, gradient: x }], [x]), /Cosh in here has no gradient rule/);
});

/** Builds L = Σ_k ⟨c_k, output_k⟩ with fixed random c, and compares dL/dx with (L(x+h) − L(x−h))/2h for every element. */
async function checkSample(t: TestContext, op: OpName, sample: Sample): Promise<void> {
  const random = new Random(7, op);
  const b = new GraphBuilder(op);
  const inputs = sample.inputs.map(
    (input, i) => input && b.input(`x${i}`, input.data?.dtype ?? 'float32', input.shape),
  );
  const outputs = b.apply(op, inputs, (sample.attributes ?? {}) as never);
  const wanted = sample.outputs ?? [0];
  const seeds = wanted.map((k) => {
    const value = outputs[k]!;
    const c = Float32Array.from({ length: elements(value.shape) }, () => 2 * random.uniform() - 1);
    return { value, gradient: b.constant('float32', value.shape, c, `c${k}`) };
  });
  const differentiated = sample.inputs.map((input) => Boolean(input && !input.data && !input.frozen));
  const parameters = inputs.filter((_, i) => differentiated[i]) as Value[];
  const gradients = backward(b, seeds, parameters);
  const terms = seeds.map(({ value, gradient }) => {
    const axes = value.shape.map((_, axis) => axis);
    const product = b.mul(value, gradient);
    return axes.length > 0 ? b.sum(product, axes, 0) : product;
  });
  const loss = terms.reduce((sum, term) => b.add(sum, term));
  const graph = lower(
    b.finish([
      { name: 'loss', value: loss },
      ...parameters.map((p, i) => ({ name: `d_${p.name}`, value: gradients[i]! })),
    ]),
  );
  verify(graph);
  // Forms that no graph for CUDA holds (placement.test.ts) are for other devices.
  const gaps = contractDevice.startsWith('cuda') ? cudaGaps(graph) : [];
  if (gaps.length > 0) return t.skip(gaps.map(describeGap).join('; '));

  const values = sample.inputs.map((input) => input && sampleValues(random, input));
  const { losses, results } = await evaluator(encodeModel(graph), sample, values, parameters);
  const base = await results();
  for (const [p, parameter] of parameters.entries()) {
    const position = inputs.indexOf(parameter);
    const data = values[position] as Float32Array;
    const analytic = base[p]!;
    for (let j = 0; j < data.length; j++) {
      const h = 1e-2;
      const kept = data[j]!;
      // Fourth order: fp32 losses leave no room for a small step.
      const at = async (offset: number): Promise<number> => {
        data[j] = kept + offset;
        return losses();
      };
      const slope =
        (8 * ((await at(h)) - (await at(-h))) - ((await at(2 * h)) - (await at(-2 * h)))) / (12 * h);
      data[j] = kept;
      const scale = Math.max(1, Math.abs(slope), Math.abs(analytic[j]!));
      assert.ok(
        Math.abs(slope - analytic[j]!) <= 2e-3 * scale,
        `${op}: d/d${parameter.name}[${j}] is ${analytic[j]} by the rule and ${slope} by differences`,
      );
    }
  }
}

function sampleValues(
  random: Random,
  input: SampleInput,
): Float32Array | BigInt64Array | Uint8Array | Int32Array {
  if (input.data) {
    const { dtype, values } = input.data;
    if (dtype === 'int64') return BigInt64Array.from(values, BigInt);
    return dtype === 'bool' ? Uint8Array.from(values) : Int32Array.from(values);
  }
  const [low, high] = input.range ?? [-1, 1];
  return Float32Array.from({ length: elements(input.shape) }, () => low + (high - low) * random.uniform());
}

async function evaluator(
  model: Uint8Array,
  sample: Sample,
  values: (ArrayBufferView | null)[],
  parameters: readonly Value[],
): Promise<{ losses: () => Promise<number>; results: () => Promise<Float32Array[]> }> {
  const session = await runtime.createSession(model);
  const tensors = sample.inputs.map(
    (input) => input && runtime.allocate(input.data?.dtype ?? 'float32', input.shape),
  );
  tensors.forEach((tensor, i) => {
    if (tensor && session.inputs.some((port) => port.name === `x${i}`)) session.bindInput(`x${i}`, tensor);
  });
  const loss = runtime.allocate('float32', []);
  session.bindOutput('loss', loss);
  const gradients = parameters.map((p) => {
    const tensor = runtime.allocate('float32', p.shape);
    session.bindOutput(`d_${p.name}`, tensor);
    return tensor;
  });
  const run = async (): Promise<void> => {
    tensors.forEach((tensor, i) => {
      if (tensor) runtime.write(tensor, values[i]!);
    });
    await session.run();
  };
  return {
    losses: async () => {
      await run();
      return (runtime.read(loss) as Float32Array)[0]!;
    },
    results: async () => {
      await run();
      return gradients.map((tensor) => Float32Array.from(runtime.read(tensor) as Float32Array));
    },
  };
}
