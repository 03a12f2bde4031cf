// Mistral: Llama with a sliding window on every layer.
import type { Architecture } from './architecture';
import { decoderModel } from './blocks';
import { ConfigReader } from './config';

export const mistral: Architecture = {
  modelType: 'mistral',
  label: 'Mistral',
  model(json) {
    const config = new ConfigReader(json);
    // transformers' default is 4096 where the key is absent; null turns the window off.
    const window = json.sliding_window === null ? undefined : config.integer('sliding_window', 4096);
    return decoderModel(config, {
      modelType: 'mistral',
      attentionBias: { query: false, output: false },
      mlpBias: false,
      headNorms: false,
      window: () => window,
      defaultTargets: ['q_proj', 'v_proj'],
      defaultEpsilon: 1e-6,
    });
  },
};
