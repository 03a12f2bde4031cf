// The memory of a recipe's run for a form that must not wait: what depends on counting alone at once, the rest scaled from
// the last exact forecast until the exact one is there. Pure.
import { planAdapter } from '../../engine/adapters/plan';
import { elements } from '../../engine/dtype';
import type { Forecast } from '../../engine/estimate/forecast';
import { type Model, modelTensors } from '../../engine/models/architecture';
import { slabsFor, stateBytes } from '../../engine/optim/registry';
import type { MemoryPart } from '../../protocol/panels/configure';
import type { Recipe } from '../../protocol/recipe';

type Parts = Record<MemoryPart, number>;

/** An exact forecast and the recipe that it is of. */
export interface Known {
  recipe: Recipe;
  forecast: Forecast;
}

/** The settings that a forecast depends on; recipes that agree in them have the same one. */
export function forecastKey(recipe: Recipe): string {
  const {
    model,
    adapter,
    r,
    lora_dropout,
    bias,
    target_modules,
    exclude_modules,
    rank_pattern,
    layers_to_transform,
    layers_pattern,
    modules_to_save,
    max_length,
    packing,
    optim,
    gradient_checkpointing,
    per_device_train_batch_size,
    per_device_eval_batch_size,
    init_lora_weights,
    load_in_4bit,
    dtype,
    attention,
    settings,
  } = recipe;
  return JSON.stringify([
    [model, adapter, r, lora_dropout > 0, bias, target_modules, exclude_modules, rank_pattern],
    [layers_to_transform, layers_pattern, modules_to_save, max_length, packing, optim],
    [gradient_checkpointing, per_device_train_batch_size, recipe.gradient_accumulation_steps > 1],
    recipe.eval_dataset.length > 0 || recipe.val_size > 0 ? per_device_eval_batch_size : null,
    // What is computed in depends on the kind of device.
    [
      recipe.device.split(':')[0],
      init_lora_weights,
      load_in_4bit,
      dtype,
      attention,
      recipe.rope_scaling,
      settings,
    ],
  ]);
}

/**
 * A forecast within a few milliseconds: weights, adapter, gradients, optimizer and saving are counted, activations and
 * workspace scaled from `known` by the tokens of a batch and the layers' share that trains. Null without a known one.
 * @throws AdapterError where the targets do not fit the model.
 */
export function quickForecast(model: Model, recipe: Recipe, known: Known | null): Forecast | null {
  const counted = countedParts(model, recipe);
  if (known === null) return null;
  const { forecast, recipe: before } = known;
  const tokens = (one: Recipe): number =>
    one.per_device_train_batch_size * Math.min(one.max_length, model.maxPositions);
  const keeps = { none: 1, selective: 0.6, full: 0.25 } as const;
  const checkpointing = keeps[recipe.gradient_checkpointing] / keeps[before.gradient_checkpointing];
  const grown = tokens(recipe) / tokens(before);
  // Rank vectors are a small part of what a layer keeps.
  const rank = 1 + (0.1 * (recipe.r - before.r)) / Math.max(16, before.r);
  const parts: Parts = {
    ...counted.parts,
    activations: forecast.parts.activations * grown * checkpointing * Math.max(0.5, rank),
    workspace: forecast.parts.workspace * (grown > 1 ? 1 + 0.2 * (grown - 1) : 1),
  };
  return {
    trainableParameters: counted.trainableParameters,
    parts,
    totalBytes: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0),
  };
}

function countedParts(model: Model, recipe: Recipe): { parts: Parts; trainableParameters: number } {
  const plan = planAdapter(model, recipe);
  const slabs = slabsFor(plan.tensors, recipe);
  const all = slabs.reduce((sum, { length }) => sum + length, 0);
  const trainable = slabs.reduce((sum, { length, frozen }) => sum + (frozen ? 0 : length), 0);
  const state = slabs.reduce((sum, slab) => sum + stateBytes(slab, recipe), 0);
  const replaced = new Set(plan.tensors.map(({ name }) => name));
  const weights = modelTensors(model).reduce(
    (sum, { name, shape }) => sum + (replaced.has(name) ? 0 : 4 * elements(shape)),
    0,
  );
  return {
    trainableParameters: trainable,
    parts: {
      weights,
      adapter: 4 * all,
      gradients: 4 * trainable,
      optimizer: state,
      activations: 0,
      saving: 8 * trainable + state,
      workspace: 0,
    },
  };
}
