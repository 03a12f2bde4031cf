// GPT-2: learned positions, layer norms with biases, fused q, k and v, weights stored [in, out] (Conv1D), tied head.
import type { Value } from '../graph/graph';
import type { Architecture, Forward, LinearModule, Module } from './architecture';
import { activate, activations } from './blocks';
import { ConfigReader } from './config';

export const gpt2: Architecture = {
  modelType: 'gpt2',
  label: 'GPT-2',
  model(json) {
    const config = new ConfigReader(json);
    const hiddenSize = config.integer('n_embd', 768);
    const layers = config.layers('n_layer', 12);
    const heads = config.integer('n_head', 12);
    const intermediateSize = config.integer('n_inner', 4 * hiddenSize);
    const vocabularySize = config.integer('vocab_size', 50257);
    const maxPositions = config.integer('n_positions', 1024);
    const epsilon = config.number('layer_norm_epsilon', 1e-5);
    const activation = config.choice('activation_function', activations, 'gelu_new');
    const scaled = config.boolean('scale_attn_weights', true);
    const byLayer = config.boolean('scale_attn_by_inverse_layer_idx', false);
    const tied = config.boolean('tie_word_embeddings', true);
    config.check(
      hiddenSize % heads === 0,
      'n_head',
      `n_embd ${hiddenSize} does not divide into ${heads} heads`,
    );
    config.finish();
    const headSize = hiddenSize / heads;

    const modules: Module[] = [];
    const conv = (path: string, inFeatures: number, outFeatures: number): void => {
      modules.push({ kind: 'conv1d', path, inFeatures, outFeatures, bias: true, weight: `${path}.weight` });
    };
    const norm = (path: string): void => {
      modules.push({ kind: 'layernorm', path, width: hiddenSize, epsilon });
    };
    const table = (path: string, rows: number, tokens: boolean): void => {
      modules.push({ kind: 'embedding', path, rows, width: hiddenSize, weight: `${path}.weight`, tokens });
    };
    table('transformer.wte', vocabularySize, true);
    table('transformer.wpe', maxPositions, false);
    for (let i = 0; i < layers; i++) {
      const layer = `transformer.h.${i}`;
      norm(`${layer}.ln_1`);
      conv(`${layer}.attn.c_attn`, hiddenSize, 3 * hiddenSize);
      conv(`${layer}.attn.c_proj`, hiddenSize, hiddenSize);
      norm(`${layer}.ln_2`);
      conv(`${layer}.mlp.c_fc`, hiddenSize, intermediateSize);
      conv(`${layer}.mlp.c_proj`, intermediateSize, hiddenSize);
    }
    norm('transformer.ln_f');
    const head: LinearModule = {
      kind: 'linear',
      path: 'lm_head',
      inFeatures: hiddenSize,
      outFeatures: vocabularySize,
      bias: false,
      weight: tied ? 'transformer.wte.weight' : 'lm_head.weight',
      head: true,
    };
    modules.push(head);

    const forward = (f: Forward, ids: Value): Value => {
      const { b } = f;
      const positions = b.reshape(f.positions, [f.rows * f.length]);
      let x = b.add(f.embedding('transformer.wte', ids), f.embedding('transformer.wpe', positions));
      for (let i = 0; i < layers; i++) {
        const layer = `transformer.h.${i}`;
        const fused = f.linear(`${layer}.attn.c_attn`, f.norm(`${layer}.ln_1`, x));
        const mixed = b.scope(`${layer}.attn`, () => {
          const [query, key, value] = b.split(fused, 1, [hiddenSize, hiddenSize, hiddenSize]) as [
            Value,
            Value,
            Value,
          ];
          const scale = (scaled ? 1 / Math.sqrt(headSize) : 1) / (byLayer ? i + 1 : 1);
          return f.attention({ layer: i, query, key, value, heads, keyValueHeads: heads, headSize, scale });
        });
        x = b.scope(layer, () => b.add(x, f.linear(`${layer}.attn.c_proj`, mixed)));
        const inner = f.linear(`${layer}.mlp.c_fc`, f.norm(`${layer}.ln_2`, x));
        const active = b.scope(`${layer}.mlp`, () =>
          b.keeping('cheap', () => activate(b, activation, inner)),
        );
        x = b.scope(layer, () => b.add(x, f.linear(`${layer}.mlp.c_proj`, active), { keep: 'always' }));
      }
      return f.norm('transformer.ln_f', x);
    };

    return {
      modelType: 'gpt2',
      hiddenSize,
      intermediateSize,
      layers,
      heads,
      keyValueHeads: heads,
      headSize,
      vocabularySize,
      maxPositions,
      tied,
      modules,
      head,
      defaultTargets: ['c_attn'],
      basePrefix: 'transformer.',
      ignorable: /\.attn\.(masked_)?bias$/,
      lengthDependent: false,
      rotary: false,
      forward,
    };
  },
};
