// A Llama-shaped checkpoint with random weights in bf16, made where it is measured, because 16 GB do not travel. Both sides of the
// benchmark read the same folder.
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** Weights repeat this block, each tensor from another place in it: random data, made once. */
const blockBytes = 1 << 26;

/**
 * @param {string} configPath a Hugging Face config.json
 * @param {string} tokenizerFolder where a tokenizer lies; its ids must be within the vocabulary
 * @param {string} folder filled unless it holds the checkpoint already
 */
export function randomCheckpoint(configPath, tokenizerFolder, folder) {
  if (existsSync(join(folder, 'model.safetensors'))) return folder;
  mkdirSync(folder, { recursive: true });
  const config = JSON.parse(readFileSync(configPath, 'utf8'));
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config, null, 2));
  for (const name of ['tokenizer.json', 'tokenizer_config.json'])
    copyFileSync(join(tokenizerFolder, name), join(folder, name));
  writeWeights(llamaTensors(config), join(folder, 'model.safetensors'), config.initializer_range);
  return folder;
}

/** Name → shape of every tensor of a Llama checkpoint. */
export function llamaTensors(config) {
  const { hidden_size: width, intermediate_size: inner, vocab_size: vocabulary } = config;
  const head = config.head_dim ?? width / config.num_attention_heads;
  const tensors = { 'model.embed_tokens.weight': [vocabulary, width], 'model.norm.weight': [width] };
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const at = `model.layers.${layer}`;
    Object.assign(tensors, {
      [`${at}.input_layernorm.weight`]: [width],
      [`${at}.post_attention_layernorm.weight`]: [width],
      [`${at}.self_attn.q_proj.weight`]: [config.num_attention_heads * head, width],
      [`${at}.self_attn.k_proj.weight`]: [config.num_key_value_heads * head, width],
      [`${at}.self_attn.v_proj.weight`]: [config.num_key_value_heads * head, width],
      [`${at}.self_attn.o_proj.weight`]: [width, config.num_attention_heads * head],
      [`${at}.mlp.gate_proj.weight`]: [inner, width],
      [`${at}.mlp.up_proj.weight`]: [inner, width],
      [`${at}.mlp.down_proj.weight`]: [width, inner],
    });
  }
  if (!config.tie_word_embeddings) tensors['lm_head.weight'] = [vocabulary, width];
  return tensors;
}

const count = (shape) => shape.reduce((product, size) => product * size, 1);

function writeWeights(tensors, path, deviation) {
  const header = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const [name, shape] of Object.entries(tensors)) {
    const bytes = count(shape) * 2;
    header[name] = { dtype: 'BF16', shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  let text = JSON.stringify(header);
  text += ' '.repeat((8 - (text.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const file = openSync(`${path}.part`, 'w');
  writeSync(file, length);
  writeSync(file, text);
  const noise = randomBlock(deviation);
  const ones = Buffer.from(Uint16Array.from({ length: 1 << 16 }, () => 0x3f80).buffer);
  Object.values(tensors).forEach((shape, index) => {
    // Norms start at one; a tensor's place in the block is a multiple of two bytes that no other tensor has.
    const [source, start] = shape.length === 1 ? [ones, 0] : [noise, (index * 7919 * 2) % (blockBytes / 2)];
    let left = count(shape) * 2;
    for (let at = start; left > 0; at = 0) {
      const piece = Math.min(left, source.length - at);
      writeSync(file, source, at, piece);
      left -= piece;
    }
  });
  closeSync(file);
  renameSync(`${path}.part`, path);
}

/** Normal numbers (Box–Muller) as bf16. */
function randomBlock(deviation) {
  const values = new Float32Array(blockBytes / 2);
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  for (let i = 0; i < values.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(uniform()));
    const angle = 2 * Math.PI * uniform();
    values[i] = radius * Math.cos(angle);
    values[i + 1] = radius * Math.sin(angle);
  }
  const bits = new Uint32Array(values.buffer);
  return Buffer.from(Uint16Array.from(bits, (bit) => bit >>> 16).buffer);
}
