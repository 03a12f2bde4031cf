// The gradients of a LoRA site whose weight lies in four bits, against central finite differences: A, B and x have one, the
// packed weight none.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { lora } from '../../../src/engine/adapters/lora';
import type { AdapterSettings } from '../../../src/engine/adapters/settings';
import type { Site, SiteContext } from '../../../src/engine/adapters/variant';
import { backward } from '../../../src/engine/autodiff/backward';
import { elements } from '../../../src/engine/dtype';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import type { Value } from '../../../src/engine/graph/graph';
import { lower } from '../../../src/engine/graph/passes/lower';
import { verify } from '../../../src/engine/graph/verify';
import { encodeModel } from '../../../src/engine/onnx/encode';
import {
  blocksOf,
  type PackedForm,
  packedParts,
  packWeight,
  partData,
} from '../../../src/engine/quantization/packedWeight';
import { Random } from '../../../src/engine/random';
import { openRuntime } from '../../../src/engine/session';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
after(() => runtime.close());

const rows = 3;
const r = 2;
/** No side divides a block: 7·6 values are one whole block of 32 and a short one. */
const form = { outFeatures: 7, inFeatures: 6, blockSize: 32, transposed: false } as const;
const site = {
  path: 'layers.0.q_proj',
  module: { kind: 'linear' },
  inFeatures: form.inFeatures,
  outFeatures: form.outFeatures,
  r,
  alpha: 3,
} as unknown as Site;
const settings = { use_rslora: false, settings: {} } as unknown as AdapterSettings;

for (const quantType of ['nf4', 'fp4'] as const) {
  for (const doubleQuant of [false, true]) {
    for (const device of ['cpu', 'webgpu'] as const) {
      test(`${quantType}${doubleQuant ? ', double quantisation' : ''}, lowered for ${device}: A, B and x`, () =>
        check({ ...form, quantType, doubleQuant }, device));
    }
  }
}

/** L = ½·Σ c·y² with random c: the seed of the backward pass is c·y, and so it depends on the base weight too. */
async function check(packed: PackedForm, device: 'cpu' | 'webgpu'): Promise<void> {
  const { outFeatures, inFeatures } = packed;
  const random = new Random(5, packed.quantType);
  const normal = (count: number) => Float32Array.from({ length: count }, () => 0.5 * random.normal());
  const weight = packWeight(normal(outFeatures * inFeatures), packed);
  const b = new GraphBuilder('packed site');
  const parts = packedParts(packed).map((part) => b.input(`w${part.suffix}`, part.dtype, part.shape));
  const shapes = { x: [rows, inFeatures], A: [r, inFeatures], B: [outFeatures, r] };
  const learned = Object.entries(shapes).map(([name, shape]) => b.input(name, 'float32', shape));
  const [x, downward, upward] = learned as [Value, Value, Value];
  const context = {
    b,
    site,
    training: true,
    parameter: (name: string) => (name === 'lora_A.weight' ? downward : upward),
    base: (value: Value) => b.gemm(value, dequantised(b, packed, parts), { transB: true }),
    dropout: (value: Value) => ({ value, keepScale: 1 }),
  } as unknown as SiteContext;
  const y = lora.apply(context, x, settings);
  const c = b.constant('float32', y.shape, normal(rows * outFeatures), 'c');
  const seed = b.mul(c, y);
  const gradients = backward(
    b,
    [{ value: y, gradient: seed }],
    [...learned, ...parts.filter(({ dtype }) => dtype === 'float32')],
  );
  assert.deepEqual(
    gradients.map((gradient) => gradient !== null),
    gradients.map((_, i) => i < learned.length),
    'the packed weight has no gradient',
  );
  const graph = lower(
    b.finish([
      { name: 'loss', value: b.scale(b.sum(b.mul(seed, y), [0, 1], 0), 0.5) },
      ...learned.map(({ name }, i) => ({ name: `d_${name}`, value: gradients[i]! })),
    ]),
    device,
  );
  verify(graph);

  const values = new Map(Object.entries(shapes).map(([name, shape]) => [name, normal(elements(shape))]));
  const session = await runtime.createSession(encodeModel(graph));
  const stored = new Map(packedParts(packed).map(({ suffix }, i) => [`w${suffix}`, partData(weight)[i]!]));
  const inputs = new Map(
    graph.inputs.map(({ name, dtype, shape }) => [
      name,
      runtime.fromHost(dtype, shape, stored.get(name) ?? values.get(name)!),
    ]),
  );
  const outputs = new Map(
    graph.outputs.map(({ name, value }) => [name, runtime.allocate(value.dtype, value.shape)]),
  );
  for (const [name, tensor] of inputs) session.bindInput(name, tensor);
  for (const [name, tensor] of outputs) session.bindOutput(name, tensor);
  const read = (name: string): Float32Array => (runtime.read(outputs.get(name)!) as Float32Array).slice();
  await session.run();
  const analytic = new Map(learned.map(({ name }) => [name, read(`d_${name}`)]));
  const h = 0.1;
  for (const [name, data] of values) {
    for (let j = 0; j < data.length; j++) {
      const kept = data[j]!;
      const at = async (offset: number): Promise<number> => {
        data[j] = kept + offset;
        runtime.write(inputs.get(name)!, data);
        await session.run();
        return read('loss')[0]!;
      };
      // L is quadratic in every single number: a wide step is exact, and rounding weighs little.
      const slope = ((await at(h)) - (await at(-h))) / (2 * h);
      await at(0);
      const found = analytic.get(name)![j]!;
      assert.ok(
        Math.abs(slope - found) <= 1e-3 * Math.max(1, Math.abs(slope)),
        `d/d${name}[${j}] is ${found} by the graph and ${slope} by differences`,
      );
    }
    assert.ok(
      analytic.get(name)!.some((value) => Math.abs(value) > 0.05),
      `${name} has a gradient that is not noise`,
    );
  }
  for (const tensor of [...inputs.values(), ...outputs.values()]) tensor.release();
}

function dequantised(b: GraphBuilder, packed: PackedForm, parts: readonly Value[]): Value {
  const [codes, sizes, ...nested] = parts as [Value, Value, ...Value[]];
  const absmax = packed.doubleQuant
    ? b.op('DequantizeSizes', [sizes, ...nested], { blocks: blocksOf(packed) })
    : sizes;
  return b.op(
    'DequantizeWeight',
    [codes, absmax],
    {
      out_features: packed.outFeatures,
      in_features: packed.inFeatures,
      block_size: packed.blockSize,
      quant_type: packed.quantType,
      transposed: 0,
    },
    { keep: 'never' },
  );
}
