// A forecast of a deep model within a tenth of a second: its programs are compiled with a few layers only, and what grows
// with every layer is counted on. What the adapter takes is counted on the whole model. Reads no weights.
import type { Recipe } from '../../protocol/recipe';
import { withLoraPlusRates } from '../adapters/loraPlus';
import { planAdapter } from '../adapters/plan';
import type { JsonObject } from '../files/json';
import type { Model } from '../models/architecture';
import { modelOfRecipe } from '../models/stretchedPositions';
import { slabsFor } from '../optim/registry';
import { adapterParts, besideDevice, type Forecast, forecast, totals } from './forecast';

/** Fewer layers are compiled whole in the same time. */
export const leastLayers = 10;

/** How far the arena's waste grows with the live memory: 0 not at all, 1 as fast (measured: 0 to 1 by recipe). */
const wasteGrowth = 0.75;

/** Place of the update's program among `arenas`. */
const updateArena = 1;

/** What every family calls the number of its layers. */
const depthKeys = ['num_hidden_layers', 'n_layer'] as const;

/**
 * A model's forecast from two of fewer layers; undefined where the whole one is as soon done. Live memory is exactly linear in
 * the layers once the peak lies where it lies in the whole model: from the third layer on, from the fourth where blocks are
 * recomputed, for then a single layer's backward pass is the larger part. The arena's waste is
 * no such simple thing; it is what the result is off by.
 * @throws AdapterError where the recipe's targets do not fit the model.
 */
export function deepForecast(config: JsonObject, model: Model, recipe: Recipe): Forecast | undefined {
  const { layers } = model;
  if (layers < leastLayers) return undefined;
  const few = recipe.gradient_checkpointing === 'full' ? 4 : 3;
  const anyLayer = withoutLayers(recipe);
  const at = (depth: number): Forecast =>
    forecast(modelOfRecipe(withDepth(config, depth), recipe).model, anyLayer);
  const [less, more] = [at(few), at(few + 1)];
  const onwards = (a: number, b: number): number => b + (layers - few - 1) * (b - a);

  const arenas = more.arenas.map((arena, i) => {
    const before = less.arenas[i] ?? arena;
    const liveBytes = onwards(before.liveBytes, arena.liveBytes);
    // Where values are whole weights or vectors over all layers, what is wasted on them grows as they do (measured).
    if (i === updateArena || recipe.adapter === 'none') {
      const peakBytes = onwards(before.peakBytes, arena.peakBytes);
      return { liveBytes, peakBytes, reservedBytes: onwards(before.reservedBytes, arena.reservedBytes) };
    }
    const waste = (before.peakBytes - before.liveBytes + arena.peakBytes - arena.liveBytes) / 2;
    const grown = liveBytes / Math.max(1, (before.liveBytes + arena.liveBytes) / 2);
    const peakBytes = liveBytes + waste * (1 + wasteGrowth * (grown - 1));
    return { liveBytes, peakBytes, reservedBytes: peakBytes + arena.reservedBytes - arena.peakBytes };
  });
  const activations = Math.max(...arenas.map(({ peakBytes }) => peakBytes));
  const reserved = Math.max(...arenas.map(({ reservedBytes }) => reservedBytes));
  const slabs = slabsFor(withLoraPlusRates(planAdapter(model, recipe), recipe).tensors, recipe);
  const parts = {
    weights: onwards(less.parts.weights, more.parts.weights),
    ...adapterParts(slabs, recipe),
    activations,
    workspace: onwards(besides(less), besides(more)) + reserved - activations,
  };
  const { trainableParameters, ...sizes } = parts;
  const onHost = onwards(less.host.workspace ?? 0, more.host.workspace ?? 0);
  const host = besideDevice(recipe, slabs, sizes.saving, onHost);
  return { trainableParameters, parts: sizes, host, ...totals(sizes, host), arenas };
}

/** Workspace without what the arena holds beyond its peak. */
function besides({ parts, arenas }: Forecast): number {
  const reserved = Math.max(...arenas.map(({ reservedBytes }) => reservedBytes));
  return parts.workspace - (reserved - parts.activations);
}

/** The config of the same model with fewer layers. */
function withDepth(config: JsonObject, depth: number): JsonObject {
  const key = depthKeys.find((name) => config[name] !== undefined) ?? depthKeys[0];
  const types = config.layer_types;
  return { ...config, [key]: depth, ...(Array.isArray(types) ? { layer_types: types.slice(0, depth) } : {}) };
}

/** The recipe without what names single layers, which fewer layers may not have. */
function withoutLayers(recipe: Recipe): Recipe {
  return { ...recipe, layers_to_transform: null, layers_pattern: null, rank_pattern: {}, alpha_pattern: {} };
}
