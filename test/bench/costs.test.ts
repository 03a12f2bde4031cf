// The roofline model of bench/gpu: what an operator costs, how it is told, and that a whole step of both sides holds the products
// that its shapes ask for.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { costOf, kindOf, machine, type OperatorUse, type TensorType } from '../../bench/gpu/costs';
import { encodedOperators } from '../../bench/gpu/optimizedGraph';
import { peftStep } from '../../bench/gpu/peftStep';
import { planAdapter } from '../../src/engine/adapters/plan';
import { bareSettings } from '../../src/engine/adapters/settings';
import { gradientGraph } from '../../src/engine/compile/gradientGraph';
import { planSlabs } from '../../src/engine/compile/slabs';
import { precisionFor } from '../../src/engine/graph/precision';
import { modelFromConfig } from '../../src/engine/models/registry';

const half = (...shape: number[]): TensorType => ({ dtype: 'bfloat16', shape });
const use = (
  operator: string,
  inputs: TensorType[],
  output: TensorType,
  scope = 'model.layers.0.mlp',
  attributes = {},
): OperatorUse => ({ operator, scope, inputs, outputs: [output], attributes });

test('products take their operations, passes their bytes, and nothing less than its kernels', () => {
  const product = use('Gemm', [half(4096, 2048), half(8192, 2048)], half(4096, 8192), '', { transB: 1 });
  const { flops, seconds, kernels } = costOf(product, machine);
  assert.equal(flops, 2 * 4096 * 2048 * 8192);
  assert.equal(seconds, flops / (machine.productRate * machine.productEfficiency));
  assert.equal(kernels, 1);
  const sum = use('Add', [half(4096, 8192), half(4096, 8192)], half(4096, 8192));
  assert.equal(costOf(sum, machine).bytes, 3 * 2 * 4096 * 8192);
  assert.equal(costOf(sum, machine).seconds, (6 * 4096 * 8192) / machine.bandwidth);
  assert.equal(costOf(use('Add', [half(4), half(4)], half(4)), machine).seconds, machine.kernelSeconds);
  // C as large as the result is copied there and added to.
  const added = costOf({ ...product, inputs: [...product.inputs, half(4096, 8192)] }, machine);
  assert.equal(added.bytes - costOf(product, machine).bytes, 3 * 2 * 4096 * 8192);
  assert.equal(added.kernels, 2);
});

test('a view takes no kernel, a long softmax is read three times, a slice as often as it is written', () => {
  assert.deepEqual(costOf(use('Reshape', [half(4, 6)], half(24)), machine), {
    kernels: 0,
    bytes: 0,
    flops: 0,
    seconds: 0,
    hostSeconds: machine.hostSecondsPerView,
  });
  const softmax = (columns: number): number =>
    costOf(use('Softmax', [half(8, columns)], half(8, columns)), machine).bytes / (2 * 8 * columns);
  assert.equal(softmax(1024), 2);
  assert.equal(softmax(128256), 4);
  assert.equal(costOf(use('Slice', [half(1000, 8)], half(10, 8)), machine).bytes, 2 * 2 * 80);
});

test('unequal parts are joined by tables that are copied first', () => {
  const concat = (width: number): number =>
    costOf(use('Concat', [half(64, 2048), half(64, width)], half(64, 2048 + width)), machine).seconds;
  assert.equal(concat(2048), machine.kernelSeconds);
  assert.equal(concat(16), machine.kernelSeconds + 4 * machine.tableSeconds);
});

test('every operator of a step has a kind and a time, and its products are those of the shapes', () => {
  const config = JSON.parse(readFileSync(join('bench', 'models', 'llama-23m.json'), 'utf8'));
  const model = modelFromConfig(config);
  const plan = planAdapter(model, {
    ...bareSettings('lora'),
    r: 16,
    lora_alpha: 32,
    target_modules: 'all-linear',
  });
  const [rows, length] = [2, 256];
  const { graph } = gradientGraph({
    model,
    plan,
    slabs: planSlabs(plan.tensors),
    rows,
    length,
    packing: false,
    accumulate: false,
    checkpointing: 'selective',
    dropoutPool: 0,
    precision: precisionFor('bfloat16', 'cuda'),
  });
  const uses = encodedOperators(graph);
  assert.ok(uses.length >= graph.nodes.length);
  const flops = new Map<string, number>();
  for (const one of uses) {
    const { seconds, flops: own, kernels } = costOf(one, machine);
    assert.ok(seconds > 0 || kernels === 0, one.operator);
    flops.set(kindOf(one), (flops.get(kindOf(one)) ?? 0) + own);
  }
  const weights = model.modules.reduce(
    (sum, module) =>
      sum + (module.kind === 'linear' && !module.head ? module.inFeatures * module.outFeatures : 0),
    0,
  );
  const first = model.hiddenSize * (model.heads + 2 * model.keyValueHeads) * model.headSize;
  const tokens = rows * length;
  // Nothing goes back through the first layer's q, k and v to the frozen embedding.
  assert.equal(flops.get('products of the base'), 2 * tokens * (2 * weights - first));
  assert.equal(flops.get('products of the head'), 4 * tokens * model.hiddenSize * model.vocabularySize);
  for (const kind of [
    'fused attention',
    'attention: products',
    'norms',
    'activation',
    'loss over the vocabulary',
  ])
    assert.ok(flops.has(kind), kind);

  const peft = peftStep(model, rows, length, 16, 1e6, machine);
  const theirs = (kind: string): number =>
    peft.costs.filter((part) => part.kind === kind).reduce((sum, { cost }) => sum + cost.flops, 0);
  assert.equal(theirs('products of the base'), 4 * tokens * weights);
  assert.equal(theirs('products of the head'), flops.get('products of the head'));
  assert.ok(peft.peakBytes > 2 * weights + 12 * tokens * model.vocabularySize);
});
