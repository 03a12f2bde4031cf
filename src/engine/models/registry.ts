// The families that can be trained. A new one is a file here and a line below.
import { CheckpointError } from '../errors';
import type { Architecture, Model } from './architecture';
import { gpt2 } from './gpt2';
import { llama } from './llama';
import { mistral } from './mistral';
import { qwen2 } from './qwen2';
import { qwen3 } from './qwen3';

export const architectures: readonly Architecture[] = [gpt2, llama, mistral, qwen2, qwen3];

/** The model that a config.json describes; an unknown model_type names those that are known. */
export function modelFromConfig(config: Record<string, unknown>): Model {
  const modelType = config.model_type;
  const architecture = architectures.find((a) => a.modelType === modelType);
  if (!architecture) {
    const known = architectures.map((a) => a.modelType).join(', ');
    throw new CheckpointError({
      code: 'model-type-unsupported',
      message: `config.json has model_type ${JSON.stringify(modelType) ?? 'missing'}; supported are ${known}.`,
      remedy: `Choose a checkpoint of one of these families: ${known}.`,
      facts: { modelType: typeof modelType === 'string' ? modelType : null },
    });
  }
  return architecture.model(config);
}
