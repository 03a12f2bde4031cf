// Files for the checks of adapter, lens and playground: adapters as a training leaves them, large ones, broken ones, datasets
// with every kind of problem. Everything is made of pseudo-random numbers.
import { closeSync, copyFileSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';

let state = 1;
const uniform = () => {
  state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
  return state / 2 ** 32;
};
const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());

/** Writes a safetensors file. `tensors`: [name, shape, (index) => value][]. */
export function writeTensors(path, tensors) {
  mkdirSync(dirname(path), { recursive: true });
  let offset = 0;
  const header = { __metadata__: { format: 'pt' } };
  for (const [name, shape] of tensors) {
    const bytes = 4 * shape.reduce((a, b) => a * b, 1);
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, offset + bytes] };
    offset += bytes;
  }
  const text = Buffer.from(JSON.stringify(header));
  const head = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  head.writeBigUInt64LE(BigInt(head.length - 8));
  text.copy(head, 8);
  const file = openSync(path, 'w');
  writeSync(file, head);
  for (const [, shape, value] of tensors) {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => value(i));
    writeSync(file, new Uint8Array(data.buffer));
  }
  closeSync(file);
}

const sites = (hidden, wide) => [
  ['self_attn.q_proj', hidden, hidden, 1.5],
  ['self_attn.k_proj', hidden / 2, hidden, 1.9],
  ['self_attn.v_proj', hidden / 2, hidden, 0.9],
  ['self_attn.o_proj', hidden, hidden, 1.2],
  ['mlp.gate_proj', wide, hidden, 2.1],
  ['mlp.up_proj', wide, hidden, 1.9],
  ['mlp.down_proj', hidden, wide, 2.7],
];

/** An adapter on every linear module. `quick` takes any values; otherwise spectra fall off as trained ones do. */
function adapter(layers, hidden, wide, r, quick, still = () => false) {
  const tensors = [];
  for (let layer = 0; layer < layers; layer++) {
    for (const [site, out, width, level] of sites(hidden, wide)) {
      const depth = 0.55 + 0.75 * Math.exp(-(((layer - 0.7 * layers) / (0.3 * layers)) ** 2));
      const tau = 2 + 1.7 * uniform();
      const strength = (k) => level * depth * (Math.exp(-k / tau) + 0.03);
      const path = `base_model.model.model.layers.${layer}.${site}`;
      const zero = still(layer, site);
      tensors.push([
        `${path}.lora_A.weight`,
        [r, width],
        quick ? (i) => ((i * 2654435761) % 1000) / 1e5 : () => normal() / Math.sqrt(width),
      ]);
      tensors.push([
        `${path}.lora_B.weight`,
        [out, r],
        zero
          ? () => 0
          : quick
            ? (i) => ((i * 40503) % 777) / 1e5
            : (i) => (0.02 * strength(i % r) * normal()) / 2,
      ]);
    }
  }
  return tensors;
}

export function writeAdapters(workspace) {
  const config = (more) =>
    JSON.stringify({
      peft_type: 'LORA',
      r: 16,
      lora_alpha: 32,
      target_modules: sites(1, 1).map(([site]) => site.split('.')[1]),
      task_type: 'CAUSAL_LM',
      ...more,
    });
  const folder = (name) => join(workspace, 'adapters', name);
  const write = (name, text) => {
    mkdirSync(folder(name), { recursive: true });
    writeFileSync(join(folder(name), 'adapter_config.json'), text);
  };
  const deep = join(workspace, 'models/deep');
  const [layers, hidden, wide] = [16, 64, 128];
  mkdirSync(deep, { recursive: true });
  writeFileSync(
    join(deep, 'config.json'),
    JSON.stringify({
      model_type: 'llama',
      architectures: ['LlamaForCausalLM'],
      hidden_size: hidden,
      intermediate_size: wide,
      num_hidden_layers: layers,
      num_attention_heads: 4,
      num_key_value_heads: 2,
      vocab_size: 64,
      max_position_embeddings: 128,
      rms_norm_eps: 1e-5,
      tie_word_embeddings: true,
    }),
  );
  const ones = () => 1;
  const some = () => 0.12 * normal();
  writeTensors(join(deep, 'model.safetensors'), [
    ['model.embed_tokens.weight', [64, hidden], some],
    ['model.norm.weight', [hidden], ones],
    ...Array.from({ length: layers }, (_, layer) => [
      [`model.layers.${layer}.input_layernorm.weight`, [hidden], ones],
      [`model.layers.${layer}.post_attention_layernorm.weight`, [hidden], ones],
      ...sites(hidden, wide).map(([site, out, width]) => [
        `model.layers.${layer}.${site}.weight`,
        [out, width],
        some,
      ]),
    ]).flat(),
  ]);
  write('learned', config({ base_model_name_or_path: 'models/deep' }));
  writeTensors(
    join(folder('learned'), 'adapter_model.safetensors'),
    adapter(layers, hidden, wide, 16, false),
  );
  write('sick', config({ base_model_name_or_path: 'models/deep' }));
  const sick = adapter(layers, hidden, wide, 16, false, (layer) => layer === 3);
  sick[40][2] = (i) => (i === 5 ? Number.NaN : 0.01);
  writeTensors(join(folder('sick'), 'adapter_model.safetensors'), sick);
  write('seven-b', config({ base_model_name_or_path: 'someone/large-7b' }));
  writeTensors(join(folder('seven-b'), 'adapter_model.safetensors'), adapter(32, 4096, 11008, 16, true));
  // Two that fit the tiny model, for the playground.
  for (const [name, seed] of [
    ['fits-a', 3],
    ['fits-b', 4],
  ]) {
    state = seed;
    write(
      name,
      JSON.stringify({
        peft_type: 'LORA',
        r: 2,
        lora_alpha: 8,
        target_modules: ['q_proj', 'o_proj'],
        base_model_name_or_path: 'models/tiny',
      }),
    );
    writeTensors(
      join(folder(name), 'adapter_model.safetensors'),
      [0, 1].flatMap((layer) =>
        ['q_proj', 'o_proj'].flatMap((site) => {
          const path = `base_model.model.model.layers.${layer}.self_attn.${site}`;
          return [
            [`${path}.lora_A.weight`, [2, 32], () => 0.3 * normal()],
            [`${path}.lora_B.weight`, [32, 2], () => 0.3 * normal()],
          ];
        }),
      ),
    );
  }
}

const words =
  'the captain of the ship looked over the quiet sea and said that the wind would turn before the night was over'.split(
    ' ',
  );
const sentence = (n) =>
  Array.from({ length: n }, () => words[Math.floor(uniform() * words.length)]).join(' ');

export function writeDatasets(workspace) {
  state = 9;
  // It names the ends of answers; without it no answer of the chat template would end with an EOS.
  copyFileSync('samples/base/generation_config.json', join(workspace, 'models/tiny/generation_config.json'));
  const chat = (question, answer) => ({
    messages: [
      { role: 'system', content: 'You answer like a pirate.' },
      { role: 'user', content: question },
      { role: 'assistant', content: answer },
    ],
  });
  const rows = Array.from({ length: 120 }, (_, i) =>
    chat(`Question ${i}: what says ${sentence(6)}?`, `Arr, ${sentence(8 + (i % 30))}.\nThat be ${i}.`),
  );
  for (const i of [3, 40, 77]) rows[i] = chat(`Question ${i}: tell me all.`, `Arr. ${sentence(150)}`);
  rows[10] = rows[4];
  rows[20] = { messages: [{ role: 'captain', content: 'Ahoy' }] };
  const lines = rows.map((row) => JSON.stringify(row));
  lines[30] = '{"messages": [';
  writeFileSync(join(workspace, 'data/chat.jsonl'), lines.join('\n'));
  writeFileSync(join(workspace, 'data/chat.eval.jsonl'), [lines[5], lines[6]].join('\n'));
  writeFileSync(
    join(workspace, 'chat.lora.yaml'),
    '# Kept as it is.\nmodel: models/tiny\ndataset: data/chat.jsonl\neval_dataset: data/chat.eval.jsonl\nadapter: lora\nr: 4\nmax_length: 128  # tokens\n',
  );
  const many = Array.from({ length: 100_000 }, (_, i) =>
    JSON.stringify({ prompt: `Row ${i}: ${sentence(20)}`, completion: sentence(30 + (i % 40)) }),
  );
  writeFileSync(join(workspace, 'data/many.jsonl'), many.join('\n'));
}
