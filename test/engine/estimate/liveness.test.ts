// The forecast of activations against the runtime's own count, and the rules it rests on.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { executionOrder } from '../../../src/engine/estimate/executionOrder';
import { liveness } from '../../../src/engine/estimate/liveness';
import { GraphBuilder } from '../../../src/engine/graph/builder';
import { arenaPeak } from '../../contracts/arenaPeak';

const llama = {
  model_type: 'llama',
  hidden_size: 64,
  intermediate_size: 176,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  vocab_size: 512,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-6,
};
const gpt2 = { model_type: 'gpt2', n_embd: 64, n_layer: 3, n_head: 4, vocab_size: 512, n_positions: 512 };

const shapes = [
  { name: 'llama', config: llama, rows: 4, length: 64, adapter: {} },
  { name: 'llama in blocks', config: llama, rows: 1, length: 512, adapter: {} },
  { name: 'llama with dropout', config: llama, rows: 4, length: 64, adapter: { lora_dropout: 0.1 } },
  { name: 'gpt2', config: gpt2, rows: 4, length: 64, adapter: {} },
  { name: 'llama, all weights', config: llama, rows: 4, length: 64, adapter: { adapter: 'none' } },
];
for (const { name, ...shape } of shapes) {
  for (const checkpointing of ['none', 'selective', 'full'] as const) {
    test(`${name}, ${checkpointing} checkpointing: the forecast is the measured peak within 6 %`, async () => {
      const { graph, peakBytes } = await arenaPeak({ ...shape, checkpointing });
      const predicted = liveness(graph).peakBytes;
      const error = predicted / peakBytes - 1;
      assert.ok(
        Math.abs(error) < 0.06,
        `predicted ${predicted}, measured ${peakBytes} (${(100 * error).toFixed(1)} %)`,
      );
    });
  }
}

test('the last leaf is reached first, and at every node the latest input', () => {
  const b = new GraphBuilder('order');
  const x = b.input('x', 'float32', [4]);
  const early = b.op('Neg', [x], {});
  const late = b.op('Exp', [x], {});
  const sum = b.add(early, late);
  const last = b.op('Sqrt', [x], {});
  const graph = b.finish([
    { name: 'sum', value: sum },
    { name: 'last', value: last },
  ]);
  assert.deepEqual(
    executionOrder(graph).map((node) => node.op),
    ['Sqrt', 'Exp', 'Neg', 'Add'],
  );
});

test('values die with their last reader; views and in-place kernels take no memory of their own', () => {
  const b = new GraphBuilder('chain');
  const x = b.input('x', 'float32', [1024]);
  const first = b.op('Neg', [x], {});
  const viewed = b.reshape(first, [32, 32]);
  const softmax = b.op('Softmax', [viewed], { axis: -1 });
  const second = b.op('Neg', [softmax], {});
  const third = b.op('Exp', [second], {});
  const graph = b.finish([{ name: 'y', value: b.op('Neg', [third], {}) }]);
  // first = viewed = softmax, then second beside it, then third in the place of the first.
  assert.equal(liveness(graph).peakBytes, 3 * 4096 - 4096);
});
