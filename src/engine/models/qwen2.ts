// Qwen 2 and 2.5: Llama with biases on q, k and v, and optionally sliding upper layers.
import type { Architecture } from './architecture';
import { decoderModel } from './blocks';
import { ConfigReader } from './config';
import { slidingLayers } from './slidingLayers';

export const qwen2: Architecture = {
  modelType: 'qwen2',
  label: 'Qwen 2',
  model(json) {
    const config = new ConfigReader(json);
    return decoderModel(config, {
      modelType: 'qwen2',
      attentionBias: { query: true, output: false },
      mlpBias: false,
      headNorms: false,
      window: slidingLayers(config),
      defaultTargets: ['q_proj', 'v_proj'],
      defaultEpsilon: 1e-6,
    });
  },
};
