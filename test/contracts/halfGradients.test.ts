// What is written otherwise in 16 bits than in fp32 gives fp32's numbers but for rounding: attention by one fused operator with
// gradients in blocks, packed rows, the gradients of RMS norms, products folded into others. On the CPU through casts.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { backward } from '../../src/engine/autodiff/backward';
import { floatsIn } from '../../src/engine/checkpoint/floats';
import { elements } from '../../src/engine/dtype';
import { Program } from '../../src/engine/execution/program';
import { GraphBuilder } from '../../src/engine/graph/builder';
import { float, type Value } from '../../src/engine/graph/graph';
import { finish } from '../../src/engine/graph/passes/finish';
import { foldProducts } from '../../src/engine/graph/passes/fold';
import { type FloatType, precisionFor } from '../../src/engine/graph/precision';
import type { AttentionCall } from '../../src/engine/models/architecture';
import { TrainingAttention } from '../../src/engine/models/attention';
import { Random } from '../../src/engine/random';
import { contractRuntime } from './contractRuntime';

const runtime = contractRuntime();
const { kind: device } = runtime.device;
after(() => runtime.close());

/** Root mean square of the difference, of that of the values. Roundings to 8 and to 11 bits, a few in a row. */
const tolerances = { bfloat16: 1.2e-2, float16: 2e-3 } as const;

type Build = (b: GraphBuilder, inputs: readonly Value[], half: boolean) => Value;

interface Case {
  shapes: readonly (readonly number[])[];
  build: Build;
  /** Numbers of the packed examples, of one row. */
  segments?: readonly number[];
  fold?: boolean;
}

/** Outputs and gradients of Σ(δ∘y) by every input. */
async function run(one: Case, type: FloatType): Promise<Float32Array[]> {
  const half = type !== 'float32';
  const random = new Random(5, 'half gradients');
  const b = new GraphBuilder('sample');
  const values = new Map<string, Float32Array | BigInt64Array>();
  const input = (name: string, shape: readonly number[]): Value => {
    values.set(
      name,
      Float32Array.from({ length: elements(shape) }, () => random.normal()),
    );
    return b.input(name, 'float32', shape);
  };
  const inputs = one.shapes.map((shape, i) => input(`x${i}`, shape));
  if (one.segments) {
    inputs.push(b.input('segments', 'int64', [1, one.segments.length]));
    values.set('segments', BigInt64Array.from(one.segments, BigInt));
  }
  const y = one.build(b, inputs, half);
  const differentiated = inputs.slice(0, one.shapes.length);
  const gradients = backward(
    b,
    [{ value: y, gradient: input('delta', y.shape) }],
    differentiated,
    'selective',
  );
  const results = [y, ...gradients.flatMap((gradient) => gradient ?? [])];
  const whole = b.finish(results.map((value, i) => ({ name: `y${i}`, value })));
  const folded = one.fold && half ? foldProducts(whole, () => true) : whole;
  assert.equal(folded === whole, !(one.fold && half), 'a product is folded');
  const precision = { compute: type, cache: 'float32' as const, device };
  const graph = finish(folded, half ? precision : { ...precisionFor('float32', device), cache: 'float32' }, [
    'x0',
    'x1',
    'x2',
  ]);
  const program = await Program.open(runtime, graph, new Map());
  for (const [name, data] of values) {
    const known = graph.inputs.find((value) => value.name === name)!;
    program.feed(
      name,
      known.dtype === 'float32' || known.dtype === 'int64' ? data : halves(data, known.dtype),
    );
  }
  await program.run();
  const read = results.map((_, i) => Float32Array.from(program.read(`y${i}`) as Float32Array));
  program.release();
  return read;
}

function halves(data: Float32Array | BigInt64Array, type: string): ArrayBufferView {
  return floatsIn(type as FloatType, data as Float32Array);
}

async function assertNear(one: Case): Promise<void> {
  const exact = await run(one, 'float32');
  for (const type of ['bfloat16', 'float16'] as const) {
    const found = await run(one, type);
    exact.forEach((values, i) => {
      let [difference, size] = [0, 0];
      values.forEach((x, j) => {
        difference += (x - found[i]![j]!) ** 2;
        size += x * x;
      });
      const error = Math.sqrt(difference / size);
      assert.ok(error <= tolerances[type], `${type}, ${i === 0 ? 'y' : `gradient ${i}`}: ${error}`);
      assert.ok(error > 1e-5, `${type}: something is rounded`);
    });
  }
}

function attention(rows: number, heads: number, keyHeads: number, length: number, width: number): Case {
  const shape = (count: number): number[] => [rows * length, count * width];
  return {
    shapes: [shape(heads), shape(keyHeads), shape(keyHeads)],
    build: (b, [query, key, value, segments], half) => {
      const layers = new TrainingAttention(b, {
        rows,
        length,
        device: half ? 'cuda' : 'cpu',
        fused: half,
        ...(segments ? { segments } : {}),
      });
      return layers.apply({ positions: segments! }, {
        layer: 0,
        query: query!,
        key: key!,
        value: value!,
        heads,
        keyValueHeads: keyHeads,
        headSize: width,
        scale: 1 / Math.sqrt(width),
      } as AttentionCall);
    },
  };
}

const skip = device === 'webgpu';

test('attention by one operator, grouped heads', { skip }, () => assertNear(attention(2, 4, 2, 70, 16)));
test('attention by one operator, gradients in several blocks', { skip }, () =>
  assertNear(attention(1, 64, 16, 512, 8)),
);
test('attention of packed rows', { skip }, () =>
  assertNear({
    ...attention(1, 4, 2, 40, 16),
    segments: Array.from({ length: 40 }, (_, i) => Math.floor(i / 15)),
  }),
);
test('the gradient of an RMS norm', { skip }, () =>
  assertNear({
    shapes: [[33, 64], [64]],
    build: (b, [x, weight]) =>
      b.op('SimplifiedLayerNormalization', [x!, weight!], { axis: -1, epsilon: float(1e-5) }),
  }),
);
test('an adapter folded into its base, forward and back', { skip }, () =>
  assertNear({
    fold: true,
    shapes: [
      [40, 300],
      [320, 300],
      [8, 300],
      [320, 8],
    ],
    build: (b, [x, weight, down, up]) => {
      const low = b.gemm(x!, down!, { transB: true });
      return b.add(b.gemm(x!, weight!, { transB: true }), b.gemm(low, up!, { transB: true, alpha: 0.5 }));
    },
  }),
);
