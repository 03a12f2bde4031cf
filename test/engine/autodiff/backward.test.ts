// The reverse walk: nothing is computed for what leads to no parameter, and checkpointing makes again what it should.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { planAdapter } from '../../../src/engine/adapters/plan';
import { backward } from '../../../src/engine/autodiff/backward';
import { gradientGraph } from '../../../src/engine/compile/gradientGraph';
import { planSlabs } from '../../../src/engine/compile/slabs';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import type { Graph } from '../../../src/engine/graph/graph';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { adapterSettings } from '../../contracts/randomAdapter';

const config = JSON.parse(
  readFileSync(join('test', 'goldens', 'models', 'llama-plain', 'config.json'), 'utf8'),
);
const model = modelFromConfig(config);

function compiled(
  target_modules: string | string[],
  checkpointing: 'none' | 'selective' | 'full',
  layers?: number[],
): Graph {
  const plan = planAdapter(
    model,
    adapterSettings(model, { r: 2, target_modules, layers_to_transform: layers ?? null }),
  );
  const slabs = planSlabs(plan.tensors);
  const shape = { rows: 2, length: 8, packing: false, accumulate: false, dropoutPool: 0 };
  return gradientGraph({ model, plan, slabs, checkpointing, ...shape }).graph;
}

/** Layers whose nodes carry gradients. */
function differentiatedLayers(graph: Graph): number[] {
  const found = graph.nodes.flatMap((node) => /^grad\..*layers\.(\d+)\./.exec(`${node.scope}.`)?.[1] ?? []);
  return [...new Set(found.map(Number))].sort();
}

test('gradients end where no earlier module trains', () => {
  const last = model.layers - 1;
  assert.deepEqual(differentiatedLayers(compiled(['down_proj'], 'none', [last])), [last]);
  assert.deepEqual(
    differentiatedLayers(compiled(['q_proj'], 'none')),
    Array.from({ length: model.layers }, (_, i) => i),
  );
});

test('the first layer sends nothing back to the frozen embedding', () => {
  const { nodes } = compiled('all-linear', 'none');
  const base = nodes.filter(
    (node) => node.scope === 'grad.model.layers.0.self_attn.q_proj' && node.op === 'Gemm',
  );
  // dA, dB and the gradient of the low-rank product; the products with W and A would only serve a frozen input.
  assert.equal(base.length, 3);
  assert.ok(!nodes.some((node) => node.scope.startsWith('grad.model.embed_tokens')));
  const later = nodes.filter(
    (node) => node.scope === 'grad.model.layers.1.self_attn.q_proj' && node.op === 'Gemm',
  );
  assert.equal(later.length, 5);
});

test('checkpointing makes cheap values again, or everything but the blocks', () => {
  const again = (graph: Graph, op: string): number =>
    graph.nodes.filter((node) => node.op === op).length -
    compiled('all-linear', 'none').nodes.filter((node) => node.op === op).length;
  const selective = compiled('all-linear', 'selective');
  assert.equal(
    again(selective, 'Softmax'),
    model.layers,
    'attention probabilities, once a layer; the loss keeps its own',
  );
  assert.equal(
    again(selective, 'SimplifiedLayerNormalization'),
    2 * model.layers,
    'both norms of every layer',
  );
  assert.equal(again(selective, 'Gemm'), 0, 'no product of weights');
  const full = compiled('all-linear', 'full');
  assert.ok(again(full, 'Gemm') > 4 * model.layers, 'products of weights too');
});

test('gradients of a value used twice add up; an unused parameter has none', () => {
  const b = new GraphBuilder('g');
  const x = b.input('x', 'float32', [2]);
  const unused = b.input('unused', 'float32', [2]);
  const y = b.add(b.scale(x, 2), b.mul(x, x));
  const [dx, none] = backward(b, [{ value: y, gradient: b.fill([2], 1) }], [x, unused]);
  assert.equal(dx!.producer!.op, 'Add');
  assert.equal(none, null);
});

test('several seeds, one of them behind a stop', () => {
  const b = new GraphBuilder('g');
  const x = b.input('x', 'float32', [2]);
  const stopped = b.op('StopGradient', [b.scale(x, 3)], {});
  const y = b.scale(x, 5);
  const gradient = b.fill([2], 1);
  assert.deepEqual(backward(b, [{ value: stopped, gradient }], [x]), [null]);
  assert.ok(
    backward(
      b,
      [
        { value: y, gradient },
        { value: stopped, gradient },
      ],
      [x],
    )[0],
  );
});
