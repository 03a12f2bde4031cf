// The precision pass on one graph: which values are fp32, which lie in 16 bits, and how many casts that takes.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { planAdapter } from '../../../src/engine/adapters/plan';
import { openCheckpoint } from '../../../src/engine/checkpoint/folder';
import { gradientGraph } from '../../../src/engine/compile/gradientGraph';
import { planSlabs } from '../../../src/engine/compile/slabs';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import { finish } from '../../../src/engine/graph/passes/finish';
import { precisionFor } from '../../../src/engine/graph/precision';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { adapterSettings } from '../../contracts/randomAdapter';

const cuda = precisionFor('bfloat16', 'cuda');

test('the loss, the masters and their gradients are fp32; weights and what is kept lie in 16 bits', async () => {
  const { config } = await openCheckpoint(join('test', 'goldens', 'models', 'llama-gqa-tied'));
  const model = modelFromConfig(config);
  const plan = planAdapter(model, adapterSettings(model));
  const slabs = planSlabs(plan.tensors);
  const { graph, baseInputs } = gradientGraph({
    model,
    plan,
    slabs,
    rows: 2,
    length: 8,
    packing: false,
    accumulate: true,
    checkpointing: 'selective',
    dropoutPool: 0,
    precision: cuda,
  });
  const inputs = new Map(graph.inputs.map(({ name, dtype }) => [name, dtype]));
  for (const name of baseInputs) assert.equal(inputs.get(name), 'bfloat16', name);
  for (const { name } of slabs) {
    assert.equal(inputs.get(name), 'float32');
    const casts = graph.nodes.filter(({ op, inputs: [x] }) => op === 'Cast' && x?.name === name);
    assert.equal(casts.length, 1, 'a slab is cast once, not each of its tensors');
  }
  for (const { name, value } of graph.outputs) assert.equal(value.dtype, 'float32', name);
  // What goes into the product of the gradient is taken in fp32 and rounded: ScatterElements only puts it in its place.
  const moved = ['Split', 'Cast', 'ScatterElements'];
  const loss = graph.nodes.filter(({ scope, op }) => scope === 'loss' && !moved.includes(op));
  assert.ok(loss.some(({ op }) => op === 'Softmax') && loss.some(({ op }) => op === 'Log'));
  for (const { op, outputs } of loss)
    if (outputs[0]!.dtype !== 'int64') assert.equal(outputs[0]!.dtype, 'float32', `${op} of the loss`);
  for (const { op, inputs: read, scope } of graph.nodes) {
    const types = read.flatMap((value) => (value ? [value.dtype] : []));
    if (op === 'Gemm' || op === 'FusedMatMul' || op === 'MatMul')
      assert.ok(
        types.every((type) => type === 'bfloat16'),
        `${op} in ${scope}`,
      );
    if (op.startsWith('Reduce') || op === 'Exp')
      assert.ok(
        types.every((type) => type !== 'bfloat16'),
        `${op} in ${scope}`,
      );
  }
  // The stream of the blocks and of their gradients.
  for (const { op, scope, outputs } of graph.nodes) {
    if (op === 'Add' && /^model\.layers\.\d+$/.test(scope.replace(/^grad\./, '')))
      assert.equal(outputs[0]!.dtype, 'bfloat16', `${op} in ${scope}`);
  }
});

test('fp32 graphs pass as they are', () => {
  const b = new GraphBuilder('sample');
  const x = b.input('x', 'float32', [2, 2]);
  const graph = finish(b.finish([{ name: 'y', value: b.op('Stored', [b.matmul(x, x)], {}) }]));
  assert.deepEqual(
    graph.nodes.map(({ op }) => op),
    ['MatMul'],
  );
});

test('fp32 wins where types meet, constants and single numbers adapt, and nothing is cast twice', () => {
  const b = new GraphBuilder('sample');
  const w = b.input('w', 'float32', [2, 2]);
  const master = b.input('m', 'float32', [2, 2]);
  const factor = b.input('factor', 'float32', []);
  const product = b.matmul(w, master);
  const adapted = b.mul(b.mul(product, b.scalar(0.5)), factor);
  const widened = b.add(adapted, b.op('Exp', [product], {}));
  const again = b.matmul(widened, master);
  const graph = finish(b.finish([{ name: 'y', value: again }]), cuda, ['w']);
  assert.deepEqual(
    graph.nodes.map(({ op, outputs }) => `${op} ${outputs[0]!.dtype}`),
    [
      'Cast bfloat16',
      'MatMul bfloat16',
      'Mul bfloat16',
      'Cast bfloat16',
      'Mul bfloat16',
      'Cast float32',
      'Exp float32',
      'Cast float32',
      'Add float32',
      'Cast bfloat16',
      'MatMul bfloat16',
      'Cast float32',
    ],
  );
});

test('float16 constants stay numbers: a mask is the lowest one', () => {
  const b = new GraphBuilder('sample');
  const x = b.input('x', 'float32', [2]);
  const mask = b.constant('float32', [2], Float32Array.of(0, -1e30), 'mask');
  const graph = finish(b.finish([{ name: 'y', value: b.add(x, mask) }]), precisionFor('float16', 'cuda'), [
    'x',
  ]);
  const constant = graph.nodes[0]!.inputs[1]!;
  assert.deepEqual([...(constant.data as Uint16Array)], [0, 0xfbff]);
});
