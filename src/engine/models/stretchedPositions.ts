// Linear position interpolation (Chen et al., arXiv 2306.15595): rotary positions divided by a whole factor, so that a longer
// context uses the angles that the model knows. Comes in: config.json and a recipe. Goes out: the config of the model that
// trains. It belongs to the base, not to the adapter: a run keeps it beside the adapter (adapters/baseConfig.ts).
import { RecipeError } from '../errors';
import type { JsonObject } from '../files/json';
import type { Model } from './architecture';
import { modelFromConfig } from './registry';

export interface ModelOfRecipe {
  model: Model;
  /** The config that the model is built from: config.json's, or with stretched positions. */
  config: JsonObject;
  /** Whether the two differ. */
  stretched: boolean;
  /** Full sentences. */
  notes: string[];
}

/**
 * The model that a recipe trains.
 * @throws RecipeError where `rope_scaling` cannot be had with this model.
 */
export function modelOfRecipe(
  config: JsonObject,
  recipe: { rope_scaling: string; max_length: number },
): ModelOfRecipe {
  const model = modelFromConfig(config);
  if (recipe.rope_scaling !== 'linear') return { model, config, stretched: false, notes: [] };
  const factor = Math.ceil(recipe.max_length / model.maxPositions);
  // Without need nothing is stretched, as in LLaMA-Factory; so it suits every model.
  if (factor <= 1) {
    const note = `rope_scaling: linear has nothing to stretch: max_length ${recipe.max_length} is within the model's ${model.maxPositions} positions.`;
    return { model, config, stretched: false, notes: [note] };
  }
  refuse(config, model);
  const { rope_parameters: newer, ...rest } = config;
  const scaling = { rope_type: 'linear', type: 'linear', factor };
  const positions = { max_position_embeddings: factor * model.maxPositions };
  // Newer files keep the base of the frequencies in the same place.
  const stretched: JsonObject =
    newer === undefined || newer === null
      ? { ...config, rope_scaling: scaling, ...positions }
      : { ...rest, rope_parameters: { ...(newer as JsonObject), ...scaling }, ...positions };
  return {
    model: modelFromConfig(stretched),
    config: stretched,
    stretched: true,
    notes: [
      `Rotary positions are divided by ${factor}, for ${factor * model.maxPositions} positions in place of ${model.maxPositions}. The adapter needs that in its base: base_config.json beside it holds it, and is used here by itself; for other programs put ${JSON.stringify(positionKeys(stretched))} into the base's config.json.`,
    ],
  };
}

/** The keys of a config that say how positions are turned into angles, and how many there are. */
export function positionKeys(config: JsonObject): JsonObject {
  const keys = ['rope_scaling', 'rope_parameters', 'max_position_embeddings'];
  return Object.fromEntries(
    keys.filter((key) => key in config).map((key) => [key, config[key]]),
  ) as JsonObject;
}

function refuse(config: JsonObject, model: Model): void {
  const fail = (message: string, remedy: string): never => {
    throw new RecipeError({ code: 'rope-scaling-not-possible', message, remedy });
  };
  if (!model.rotary) {
    fail(
      `rope_scaling: linear stretches rotary positions, and ${model.modelType} has learned ones, ${model.maxPositions} of them.`,
      `Set rope_scaling: none and max_length to at most ${model.maxPositions}.`,
    );
  }
  const section = (config.rope_parameters ?? config.rope_scaling ?? {}) as JsonObject;
  const type = section.rope_type ?? section.type ?? 'default';
  if (type !== 'default') {
    fail(
      `rope_scaling: linear cannot be put on top of the checkpoint's own scaling of positions, ${String(type)}.`,
      `Set rope_scaling: none and max_length to at most ${model.maxPositions}.`,
    );
  }
}
