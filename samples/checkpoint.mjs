// The sample model's shape, and a seeded checkpoint with random weights in the form that Hugging Face's Llama has before training.
import { createRandom } from './story/random.mjs';

/** 1.31 million parameters: 5.3 MB in F32. */
export const modelConfig = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  vocab_size: 1024,
  hidden_size: 128,
  intermediate_size: 384,
  num_hidden_layers: 6,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  head_dim: 32,
  hidden_act: 'silu',
  max_position_embeddings: 512,
  rope_theta: 10000.0,
  rms_norm_eps: 1e-5,
  attention_bias: false,
  mlp_bias: false,
  attention_dropout: 0.0,
  tie_word_embeddings: true,
  initializer_range: 0.02,
  bos_token_id: 0,
  eos_token_id: 0,
  pad_token_id: 0,
  torch_dtype: 'float32',
  use_cache: true,
};

/** An answer ends with `<|end|>`, a text with `<|endoftext|>`. */
export const generationConfig = { bos_token_id: 0, eos_token_id: [0, 3], pad_token_id: 0, max_length: 512 };

/** Tensor names and shapes ([out, in] for projections), in the order in which they lie in the file. */
export function tensorShapes(config) {
  const { hidden_size: hidden, intermediate_size: middle, head_dim: head } = config;
  const queries = config.num_attention_heads * head;
  const keys = config.num_key_value_heads * head;
  const layers = Array.from({ length: config.num_hidden_layers }, (_, i) => {
    const at = `model.layers.${i}`;
    return [
      [`${at}.input_layernorm.weight`, [hidden]],
      [`${at}.self_attn.q_proj.weight`, [queries, hidden]],
      [`${at}.self_attn.k_proj.weight`, [keys, hidden]],
      [`${at}.self_attn.v_proj.weight`, [keys, hidden]],
      [`${at}.self_attn.o_proj.weight`, [hidden, queries]],
      [`${at}.post_attention_layernorm.weight`, [hidden]],
      [`${at}.mlp.gate_proj.weight`, [middle, hidden]],
      [`${at}.mlp.up_proj.weight`, [middle, hidden]],
      [`${at}.mlp.down_proj.weight`, [hidden, middle]],
    ];
  });
  return [
    ['model.embed_tokens.weight', [config.vocab_size, hidden]],
    ...layers.flat(),
    ['model.norm.weight', [hidden]],
  ];
}

/** Normal(0, initializer_range) by Box-Muller for matrices, ones for norms. */
function initialValues(shape, deviation, random) {
  const values = new Float32Array(shape.reduce((product, size) => product * size, 1));
  if (shape.length === 1) return values.fill(1);
  for (let i = 0; i < values.length; i++) {
    // 1 - next() is never zero, so its logarithm is finite.
    values[i] =
      deviation * Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
  }
  return values;
}

/** A safetensors file: header length (u64, little endian), header JSON padded to 8 bytes, then the tensors' bytes. */
export function encodeSafetensors(tensors) {
  const header = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const { name, shape, values } of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [end, end + values.byteLength] };
    end += values.byteLength;
  }
  const json = JSON.stringify(header);
  const head = Buffer.from(json.padEnd(Math.ceil(json.length / 8) * 8, ' '));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(head.length));
  return Buffer.concat([length, head, ...tensors.map(({ values }) => Buffer.from(values.buffer))]);
}

/** The bytes of model.safetensors with random weights, the same for the same seed. */
export function randomWeights(config, seed) {
  const random = createRandom(seed);
  return encodeSafetensors(
    tensorShapes(config).map(([name, shape]) => ({
      name,
      shape,
      values: initialValues(shape, config.initializer_range, random),
    })),
  );
}
