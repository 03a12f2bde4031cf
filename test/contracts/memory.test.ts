// What the compiler promises about memory: full logits never exist, and gradient checkpointing lowers the peak.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { arenaPeak } from './arenaPeak';
import { contractDevice } from './contractRuntime';

const narrow = {
  model_type: 'llama',
  hidden_size: 32,
  intermediate_size: 64,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 512,
  rms_norm_eps: 1e-6,
  tie_word_embeddings: true,
};

test('logits of the whole batch never exist where the head is frozen', async () => {
  const [rows, length, vocabulary] = [16, 128, 16384];
  const config = { ...narrow, vocab_size: vocabulary };
  const { peakBytes } = await arenaPeak({ config, rows, length, checkpointing: 'none' });
  const logits = 4 * rows * length * vocabulary;
  // One of eight chunks' probabilities lives at a time, beside the activations of the one layer; on a GPU their logits too.
  assert.ok(
    peakBytes < logits / (contractDevice === 'cpu' ? 4 : 3),
    `the peak is ${peakBytes} bytes; the logits would take ${logits}`,
  );
});

test('selective checkpointing takes less than none, full less than selective', async () => {
  const config = {
    ...narrow,
    hidden_size: 64,
    intermediate_size: 176,
    num_hidden_layers: 6,
    vocab_size: 256,
  };
  const peaks = [];
  for (const checkpointing of ['none', 'selective', 'full'] as const)
    peaks.push((await arenaPeak({ config, rows: 4, length: 128, checkpointing })).peakBytes);
  const [none, selective, full] = peaks as [number, number, number];
  assert.ok(selective < 0.8 * none, `selective ${selective}, none ${none}`);
  assert.ok(full < 0.8 * selective, `full ${full}, selective ${selective}`);
});
