// Products with weights in four bits, through the real encoder and runtime, against the host's values.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { backward } from '../../../src/engine/autodiff/backward';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import type { Value } from '../../../src/engine/graph/graph';
import { lower } from '../../../src/engine/graph/passes/lower';
import { verify } from '../../../src/engine/graph/verify';
import { encodeModel } from '../../../src/engine/onnx/encode';
import {
  type PackedForm,
  packedParts,
  packWeight,
  partData,
  turned,
  unpackWeight,
} from '../../../src/engine/quantization/packedWeight';
import { Random } from '../../../src/engine/random';
import { openRuntime } from '../../../src/engine/session';

const runtime = openRuntime({ device: { kind: 'cpu' }, threads: 1, spinning: false });
after(() => runtime.close());

const plain = { quantType: 'nf4', blockSize: 64, doubleQuant: false } as const;
const forms: Record<string, PackedForm> = {
  nf4: { ...plain, outFeatures: 48, inFeatures: 64, transposed: false },
  fp4: { ...plain, quantType: 'fp4', outFeatures: 48, inFeatures: 64, transposed: false },
  'double quantisation': { ...plain, doubleQuant: true, outFeatures: 300, inFeatures: 64, transposed: false },
  'a short last block': { ...plain, doubleQuant: true, outFeatures: 7, inFeatures: 30, transposed: false },
  'an odd count': { ...plain, outFeatures: 7, inFeatures: 9, transposed: false },
  'blocks over rows': { ...plain, blockSize: 256, outFeatures: 10, inFeatures: 48, transposed: false },
  'a block size without a kernel': {
    ...plain,
    blockSize: 1024,
    outFeatures: 64,
    inFeatures: 48,
    transposed: false,
  },
};

for (const [name, form] of Object.entries(forms)) {
  for (const device of ['cpu', 'webgpu'] as const) {
    test(`${name}, lowered for ${device}: x·Wᵀ, δ·W and W itself`, async () => {
      const random = new Random(3, name);
      const { outFeatures, inFeatures } = form;
      const rows = 5;
      const normal = (count: number) => Float32Array.from({ length: count }, () => random.normal());
      const weight = packWeight(normal(outFeatures * inFeatures), form);
      const [x, seed, bias] = [normal(rows * inFeatures), normal(rows * outFeatures), normal(outFeatures)];

      const b = new GraphBuilder(name);
      const parts = packedParts(form).map((part) => b.input(`w${part.suffix}`, part.dtype, part.shape));
      const value = dequantised(b, form, parts);
      const input = b.input('x', 'float32', [rows, inFeatures]);
      const c = b.input('bias', 'float32', [outFeatures]);
      const y = b.gemm(input, value, { transB: true, c });
      const dY = b.input('dy', 'float32', [rows, outFeatures]);
      const [dX] = backward(b, [{ value: y, gradient: dY }], [input]);
      const graph = lower(
        b.finish([
          { name: 'y', value: y },
          { name: 'dx', value: dX! },
          { name: 'values', value: dequantised(b, { ...form, transposed: true }, parts) },
        ]),
        device,
      );
      verify(graph);
      const fused = graph.nodes.filter(({ op }) => op === 'MatMulBnb4').length;
      assert.equal(fused, device === 'cpu' && form.blockSize <= 256 ? 1 : 0);

      const results = await run(graph, [
        ...packedParts(form).map((part, i) => [`w${part.suffix}`, partData(weight)[i]!] as const),
        ['x', x],
        ['bias', bias],
        ['dy', seed],
      ]);
      const w = unpackWeight(weight);
      assert.deepEqual(results.get('values'), turned(w, outFeatures, inFeatures));
      const product = (n: number, k: number, at: (i: number, j: number) => number, add = 0) =>
        Float32Array.from({ length: rows * n }, (_, i) => {
          let sum = add ? bias[i % n]! : 0;
          for (let j = 0; j < k; j++) sum += at(Math.floor(i / n) * k + j, (i % n) * k + j);
          return sum;
        });
      const wT = turned(w, outFeatures, inFeatures);
      near(
        results.get('y')!,
        product(outFeatures, inFeatures, (i, j) => x[i]! * w[j]!, 1),
        'y',
      );
      near(
        results.get('dx')!,
        product(inFeatures, outFeatures, (i, j) => seed[i]! * wT[j]!),
        'dx',
      );
    });
  }
}

test('every reader of a weight has its own values, made right before it', () => {
  const form = forms['double quantisation']!;
  const b = new GraphBuilder('readers');
  const parts = packedParts(form).map((part) => b.input(`w${part.suffix}`, part.dtype, part.shape));
  const value = dequantised(b, form, parts);
  const x = b.input('x', 'float32', [2, form.outFeatures]);
  const first = b.op('Tanh', [b.gemm(x, value)], {});
  const second = b.gemm(first, value, { transB: true });
  const { nodes } = lower(b.finish([{ name: 'y', value: b.gemm(second, value) }]), 'webgpu');
  const lookups = nodes.filter(({ op, outputs }) => op === 'Gather' && outputs[0]!.shape[1] === 2);
  assert.equal(lookups.length, 3);
  const firstProduct = nodes.findIndex(({ op }) => op === 'Gemm');
  assert.ok(lookups.every((node) => nodes.indexOf(node) < firstProduct));
  // One table of codes for all of them.
  assert.equal(new Set(lookups.map(({ inputs }) => inputs[0])).size, 1);
});

function dequantised(b: GraphBuilder, form: PackedForm, parts: readonly Value[]): Value {
  const [codes, sizes, ...nested] = parts as [Value, Value, ...Value[]];
  const blocks = Math.ceil((form.outFeatures * form.inFeatures) / form.blockSize);
  const absmax = form.doubleQuant ? b.op('DequantizeSizes', [sizes, ...nested], { blocks }) : sizes;
  return b.op(
    'DequantizeWeight',
    [codes, absmax],
    {
      out_features: form.outFeatures,
      in_features: form.inFeatures,
      block_size: form.blockSize,
      quant_type: form.quantType,
      transposed: form.transposed ? 1 : 0,
    },
    { keep: 'never' },
  );
}

async function run(
  graph: ReturnType<typeof lower>,
  feeds: readonly (readonly [string, ArrayBufferView])[],
): Promise<Map<string, Float32Array>> {
  const session = await runtime.createSession(encodeModel(graph));
  const given = new Map(feeds);
  for (const input of graph.inputs)
    session.bindInput(input.name, runtime.fromHost(input.dtype, input.shape, given.get(input.name)!));
  const outputs = graph.outputs.map(({ name, value }) => {
    const tensor = runtime.allocate(value.dtype, value.shape);
    session.bindOutput(name, tensor);
    return [name, tensor] as const;
  });
  await session.run();
  return new Map(outputs.map(([name, tensor]) => [name, (runtime.read(tensor) as Float32Array).slice()]));
}

/** Within 1e-6 of the largest size. */
function near(ours: Float32Array, want: Float32Array, what: string): void {
  const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  assert.equal(ours.length, want.length);
  ours.forEach((value, i) => {
    assert.ok(Math.abs(value - want[i]!) <= 1e-6 * largest, `${what}[${i}] is ${value}, not ${want[i]}`);
  });
}
