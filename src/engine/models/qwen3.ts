// Qwen 3: Llama with RMS norms on the heads of q and k, an explicit head size, and optionally sliding upper layers.
import type { Architecture } from './architecture';
import { decoderModel } from './blocks';
import { ConfigReader } from './config';
import { slidingLayers } from './slidingLayers';

export const qwen3: Architecture = {
  modelType: 'qwen3',
  label: 'Qwen 3',
  model(json) {
    const config = new ConfigReader({ head_dim: 128, ...json });
    const bias = config.boolean('attention_bias', false);
    return decoderModel(config, {
      modelType: 'qwen3',
      attentionBias: { query: bias, output: bias },
      mlpBias: false,
      headNorms: true,
      window: slidingLayers(config),
      defaultTargets: ['q_proj', 'v_proj'],
      defaultEpsilon: 1e-6,
    });
  },
};
