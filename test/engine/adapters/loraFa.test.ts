// LoRA-FA's promise: the input of an adapted layer is not kept for the backward pass, and A never moves.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { planAdapter } from '../../../src/engine/adapters/plan';
import { variantOf } from '../../../src/engine/adapters/registry';
import { gradientGraph } from '../../../src/engine/compile/gradientGraph';
import { planSlabs } from '../../../src/engine/compile/slabs';
import { liveness } from '../../../src/engine/estimate/liveness';
import type { Graph } from '../../../src/engine/graph/graph';
import { modelFromConfig } from '../../../src/engine/models/registry';
import { adapterSettings } from '../../contracts/randomAdapter';

// down_proj's input is seven times as wide as anything else.
const model = modelFromConfig({
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 224,
  num_hidden_layers: 4,
  num_attention_heads: 2,
  num_key_value_heads: 2,
  vocab_size: 64,
  max_position_embeddings: 128,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: true,
});

function graphOf(adapter: string, dropout = 0): Graph {
  const own = Object.fromEntries(
    variantOf(adapter).entry.fields.map((field) => [field.key, field.default ?? null]),
  );
  const settings = adapterSettings(model, {
    adapter,
    r: 2,
    lora_dropout: dropout,
    target_modules: ['q_proj', 'down_proj'],
    settings: own,
  });
  const plan = planAdapter(model, settings);
  return gradientGraph({
    model,
    plan,
    slabs: planSlabs(plan.tensors),
    rows: 2,
    length: 64,
    packing: false,
    accumulate: false,
    checkpointing: 'none',
    dropoutPool: dropout > 0 ? 1 << 23 : 0,
  }).graph;
}

/** Inputs of the products of down_proj that the backward pass reads. */
function wideReads(graph: Graph): number {
  const forward = graph.nodes.filter(({ scope }) => /down_proj$/.test(scope) && !scope.startsWith('grad.'));
  const wide = new Set(
    forward
      .flatMap((node) => node.inputs)
      .filter((value) => value && !value.data && value.producer && value.shape.join() === '128,224'),
  );
  assert.ok(wide.size > 0, 'down_proj reads a wide input');
  return graph.nodes.filter(
    (node) =>
      node.scope.startsWith('grad.') &&
      /down_proj$/.test(node.scope) &&
      node.inputs.some((input) => wide.has(input)),
  ).length;
}

for (const dropout of [0, 0.1]) {
  test(`with dropout ${dropout} no backward node of an adapted layer reads the layer's input`, () => {
    assert.equal(wideReads(graphOf('lora_fa', dropout)), 0);
    // The same look at LoRA finds one per layer, for the gradient of A.
    assert.equal(wideReads(graphOf('lora', dropout)), 4);
  });
}

test('the planned peak is below that of LoRA where nothing is computed again', () => {
  const [lora, fa] = ['lora', 'lora_fa'].map((id) => liveness(graphOf(id)).peakBytes) as [number, number];
  const input = 4 * 2 * 64 * 224;
  // Of four layers at least three inputs of down_proj are not held when the peak comes.
  assert.ok(lora - fa >= 3 * input, `LoRA ${lora}, LoRA-FA ${fa} bytes; one input is ${input}`);
});
