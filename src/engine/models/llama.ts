// Llama 1–3.2 and everything that shares its config: grouped heads, every rotary scaling, tied or own head, optional biases.
import type { Architecture } from './architecture';
import { decoderModel } from './blocks';
import { ConfigReader } from './config';

export const llama: Architecture = {
  modelType: 'llama',
  label: 'Llama',
  model(json) {
    const config = new ConfigReader(json);
    const bias = config.boolean('attention_bias', false);
    return decoderModel(config, {
      modelType: 'llama',
      attentionBias: { query: bias, output: bias },
      mlpBias: config.boolean('mlp_bias', false),
      headNorms: false,
      window: () => undefined,
      defaultTargets: ['q_proj', 'v_proj'],
      defaultEpsilon: 1e-6,
    });
  },
};
