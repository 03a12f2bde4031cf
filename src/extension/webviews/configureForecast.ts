// The memory of a recipe's run for a form that must not wait: what depends on counting alone at once, the rest scaled from
// the last exact forecast until the exact one is there. Pure.
import { planAdapter } from '../../engine/adapters/plan';
import { adapterParts, besideDevice, type Forecast, totals } from '../../engine/estimate/forecast';
import type { Model } from '../../engine/models/architecture';
import { slabsFor } from '../../engine/optim/registry';
import type { Recipe } from '../../protocol/recipe';

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
 * A forecast within a few milliseconds: adapter, gradients, optimizer and saving are counted, activations and workspace scaled
 * from `known` by the tokens of a batch. Null without a known one, and where the weights take another form than there.
 * @throws AdapterError where the targets do not fit the model.
 */
export function quickForecast(model: Model, recipe: Recipe, known: Known | null): Forecast | null {
  const plan = planAdapter(model, recipe);
  if (known === null || formOfWeights(recipe) !== formOfWeights(known.recipe)) return null;
  const { forecast, recipe: before } = known;
  const slabs = slabsFor(plan.tensors, recipe);
  const { trainableParameters, ...adapter } = adapterParts(slabs, recipe);
  const tokens = (one: Recipe): number =>
    one.per_device_train_batch_size * Math.min(one.max_length, model.maxPositions);
  const keeps = { none: 1, selective: 0.6, full: 0.25 } as const;
  const checkpointing = keeps[recipe.gradient_checkpointing] / keeps[before.gradient_checkpointing];
  const grown = tokens(recipe) / tokens(before);
  // Rank vectors are a small part of what a layer keeps.
  const rank = 1 + (0.1 * (recipe.r - before.r)) / Math.max(16, before.r);
  const parts = {
    weights: forecast.parts.weights,
    ...adapter,
    activations: forecast.parts.activations * grown * checkpointing * Math.max(0.5, rank),
    workspace: forecast.parts.workspace * (grown > 1 ? 1 + 0.2 * (grown - 1) : 1),
  };
  const host = besideDevice(recipe, slabs, parts.saving, forecast.host.workspace ?? 0);
  return { trainableParameters, parts, host, ...totals(parts, host), arenas: forecast.arenas };
}

/** What decides which base weights lie in memory, and in which type. */
function formOfWeights(recipe: Recipe): string {
  const { device, dtype, load_in_4bit, init_lora_weights, modules_to_save, bias, adapter } = recipe;
  const full = adapter === 'none';
  return JSON.stringify([
    [device.split(':')[0], dtype, load_in_4bit, init_lora_weights, modules_to_save, bias, full],
    full ? [recipe.target_modules, recipe.exclude_modules, recipe.layers_to_transform] : [],
  ]);
}
