// The pieces that decoder families share: activation functions and the pre-norm decoder of the Llama lineage.
import type { GraphBuilder } from '../graph/builder';
import { float, type Value } from '../graph/graph';
import type { EmbeddingModule, Forward, LinearModule, Model, Module, NormModule } from './architecture';
import type { ConfigReader } from './config';
import { readRotary } from './rotary';

export const activations = [
  'silu',
  'gelu',
  'gelu_new',
  'gelu_pytorch_tanh',
  'gelu_fast',
  'quick_gelu',
  'relu',
  'swish',
] as const;
export type Activation = (typeof activations)[number];

/** The activation that config.json names, element by element. */
export function activate(b: GraphBuilder, activation: Activation, x: Value): Value {
  const none: Record<string, never> = {};
  switch (activation) {
    case 'silu':
    case 'swish':
      return b.op('QuickGelu', [x], { alpha: float(1) });
    case 'quick_gelu':
      return b.op('QuickGelu', [x], { alpha: float(1.702) });
    case 'gelu':
      return b.op('Gelu', [x], none);
    case 'relu':
      return b.op('Relu', [x], none);
    default:
      return b.op('FastGelu', [x], none);
  }
}

/** In what a family of the Llama lineage differs from the others. */
export interface DecoderTraits {
  modelType: string;
  /** Which attention products carry a bias. */
  attentionBias: { query: boolean; output: boolean };
  mlpBias: boolean;
  /** RMS norms on the heads of q and k, before the rotation. */
  headNorms: boolean;
  /** Sliding window of a layer, in positions; undefined for full attention. */
  window(layer: number): number | undefined;
  defaultTargets: readonly string[];
  defaultEpsilon: number;
}

/** Builds a model of the Llama lineage: RMS norm, rotary attention with grouped heads, gated MLP. */
export function decoderModel(config: ConfigReader, traits: DecoderTraits): Model {
  const hiddenSize = config.integer('hidden_size');
  const intermediateSize = config.integer('intermediate_size');
  const layers = config.layers('num_hidden_layers');
  const heads = config.integer('num_attention_heads');
  const keyValueHeads = config.integer('num_key_value_heads', heads);
  const headSize = config.integer('head_dim', Math.max(1, Math.floor(hiddenSize / heads)));
  const vocabularySize = config.integer('vocab_size');
  const maxPositions = config.integer('max_position_embeddings', 2048);
  const epsilon = config.number('rms_norm_eps', traits.defaultEpsilon);
  const activation = config.choice('hidden_act', activations, 'silu');
  const tied = config.boolean('tie_word_embeddings', false);
  config.check(
    heads % keyValueHeads === 0,
    'num_key_value_heads',
    `${heads} heads do not divide into ${keyValueHeads} groups`,
  );
  config.check(headSize % 2 === 0, 'head_dim', `rotary positions need an even head size, found ${headSize}`);
  config.check(
    config.raw('head_dim') !== undefined || hiddenSize % heads === 0,
    'num_attention_heads',
    `hidden_size ${hiddenSize} does not divide into ${heads} heads`,
  );
  const rotary = readRotary(config, { headSize, maxPositions });
  config.finish();

  const modules: Module[] = [];
  const linear = (path: string, inFeatures: number, outFeatures: number, bias: boolean): LinearModule => {
    const module: LinearModule = {
      kind: 'linear',
      path,
      inFeatures,
      outFeatures,
      bias,
      weight: `${path}.weight`,
    };
    modules.push(module);
    return module;
  };
  const norm = (path: string, width: number): void => {
    modules.push({ kind: 'rmsnorm', path, width, epsilon } satisfies NormModule);
  };
  const table = 'model.embed_tokens';
  modules.push({
    kind: 'embedding',
    path: table,
    rows: vocabularySize,
    width: hiddenSize,
    weight: `${table}.weight`,
    tokens: true,
  } satisfies EmbeddingModule);
  const { query: qkvBias, output: outputBias } = traits.attentionBias;
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}`;
    norm(`${layer}.input_layernorm`, hiddenSize);
    linear(`${layer}.self_attn.q_proj`, hiddenSize, heads * headSize, qkvBias);
    linear(`${layer}.self_attn.k_proj`, hiddenSize, keyValueHeads * headSize, qkvBias);
    linear(`${layer}.self_attn.v_proj`, hiddenSize, keyValueHeads * headSize, qkvBias);
    if (traits.headNorms) {
      norm(`${layer}.self_attn.q_norm`, headSize);
      norm(`${layer}.self_attn.k_norm`, headSize);
    }
    linear(`${layer}.self_attn.o_proj`, heads * headSize, hiddenSize, outputBias);
    norm(`${layer}.post_attention_layernorm`, hiddenSize);
    linear(`${layer}.mlp.gate_proj`, hiddenSize, intermediateSize, traits.mlpBias);
    linear(`${layer}.mlp.up_proj`, hiddenSize, intermediateSize, traits.mlpBias);
    linear(`${layer}.mlp.down_proj`, intermediateSize, hiddenSize, traits.mlpBias);
  }
  norm('model.norm', hiddenSize);
  const head = linear('lm_head', hiddenSize, vocabularySize, false);
  head.head = true;
  if (tied) head.weight = `${table}.weight`;

  const headNorm = (f: Forward, path: string, x: Value, count: number): Value => {
    if (!traits.headNorms) return x;
    const n = x.shape[0]!;
    return f.b.reshape(f.norm(path, f.b.reshape(x, [n * count, headSize])), [n, count * headSize]);
  };

  const forward = (f: Forward, ids: Value): Value => {
    const { b } = f;
    let x = f.embedding(table, ids);
    for (let i = 0; i < layers; i++) {
      const layer = `model.layers.${i}`;
      const normed = f.norm(`${layer}.input_layernorm`, x);
      const query = headNorm(
        f,
        `${layer}.self_attn.q_norm`,
        f.linear(`${layer}.self_attn.q_proj`, normed),
        heads,
      );
      const key = headNorm(
        f,
        `${layer}.self_attn.k_norm`,
        f.linear(`${layer}.self_attn.k_proj`, normed),
        keyValueHeads,
      );
      const value = f.linear(`${layer}.self_attn.v_proj`, normed);
      const mixed = b.scope(`${layer}.self_attn`, () =>
        f.attention({
          layer: i,
          query,
          key,
          value,
          heads,
          keyValueHeads,
          headSize,
          scale: 1 / Math.sqrt(headSize),
          window: traits.window(i),
          rotary,
        }),
      );
      x = b.scope(layer, () => b.add(x, f.linear(`${layer}.self_attn.o_proj`, mixed)));
      const before = f.norm(`${layer}.post_attention_layernorm`, x);
      const gate = f.linear(`${layer}.mlp.gate_proj`, before);
      const up = f.linear(`${layer}.mlp.up_proj`, before);
      const gated = b.scope(`${layer}.mlp`, () =>
        b.keeping('cheap', () => b.mul(activate(b, activation, gate), up)),
      );
      // The block's result is the boundary from which full checkpointing makes everything again.
      x = b.scope(layer, () => b.add(x, f.linear(`${layer}.mlp.down_proj`, gated), { keep: 'always' }));
    }
    return f.norm('model.norm', x);
  };

  return {
    modelType: traits.modelType,
    hiddenSize,
    intermediateSize,
    layers,
    heads,
    keyValueHeads,
    headSize,
    vocabularySize,
    maxPositions,
    tied,
    modules,
    head,
    defaultTargets: traits.defaultTargets,
    basePrefix: 'model.',
    ignorable: /(^|\.)rotary_emb\.inv_freq$/,
    lengthDependent: rotary.lengthDependent,
    rotary: true,
    forward,
  };
}
