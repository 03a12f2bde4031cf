// Which modules of a model a recipe adapts, as a map of layers and kinds, and the settings that put one in or take one out.
// Pure: config in, numbers out.
import { planAdapter } from '../../engine/adapters/plan';
import { elements } from '../../engine/dtype';
import { type Model, modelTensors } from '../../engine/models/architecture';
import type { Coverage, CoverageRow, RecipeEdit } from '../../protocol/panels/configure';
import type { Recipe } from '../../protocol/recipe';

interface Adaptable {
  path: string;
  /** Null outside the layers. */
  layer: number | null;
  /** Path without the layer: `self_attn.q_proj`. */
  kind: string;
  inFeatures: number;
  outFeatures: number;
  head: boolean;
}

const layerPattern = /^(.*?\.)?(\d+)\.(.+)$/;

function adaptables(model: Model): Adaptable[] {
  return model.modules.flatMap((module): Adaptable[] => {
    if (module.kind !== 'linear' && module.kind !== 'conv1d') return [];
    const match = layerPattern.exec(module.path);
    const { inFeatures, outFeatures, path } = module;
    const layer = match === null ? null : Number(match[2]);
    return [{ path, layer, kind: match?.[3] ?? path, inFeatures, outFeatures, head: module.head === true }];
  });
}

/** The shortest name that `target_modules` would read as this kind and no other. */
function shortNames(modules: readonly Adaptable[]): Map<string, string> {
  const kinds = [...new Set(modules.map(({ kind }) => kind))];
  return new Map(
    kinds.map((kind) => {
      const leaf = kind.split('.').at(-1)!;
      const alone = kinds.filter((other) => other === leaf || other.endsWith(`.${leaf}`)).length === 1;
      return [kind, alone ? leaf : kind];
    }),
  );
}

/** The map. Settings that match nothing give one without adapters. */
export function coverageOf(model: Model, recipe: Recipe): Coverage & { problem: string | null } {
  const modules = adaptables(model);
  const inLayers = modules.filter(({ layer }) => layer !== null);
  const names = shortNames(inLayers);
  const layers = model.layers;
  const ranks = new Map<string, number>();
  const parameters = new Map<string, number>();
  let trainableParameters = 0;
  let problem: string | null = null;
  let full = false;
  try {
    const plan = planAdapter(model, recipe);
    full = plan.sites.size === 0;
    for (const [path, site] of plan.sites) ranks.set(path, site.r);
    for (const tensor of plan.tensors) {
      if (tensor.frozen === true) continue;
      const count = elements(tensor.shape);
      trainableParameters += count;
      const path = (tensor as { site?: string }).site;
      if (path !== undefined) parameters.set(path, (parameters.get(path) ?? 0) + count);
    }
    for (const { setting, entry, nearest } of plan.unmatched)
      problem ??= `${setting}: \`${entry}\` matches no module${nearest[0] === undefined ? '.' : `. Did you mean \`${nearest[0]}\`?`}`;
  } catch (cause) {
    problem = (cause as Error).message;
  }
  const rows = [...names].map(([kind, name]): CoverageRow => {
    const own = inLayers.filter((module) => module.kind === kind);
    const byLayer = new Map(own.map((module) => [module.layer, module]));
    return {
      name,
      inFeatures: own[0]!.inFeatures,
      outFeatures: own[0]!.outFeatures,
      ranks: Array.from({ length: layers }, (_, layer) => {
        const module = byLayer.get(layer);
        return module === undefined ? null : (ranks.get(module.path) ?? 0);
      }),
      parameters: own.reduce((sum, { path }) => sum + (parameters.get(path) ?? 0), 0),
    };
  });
  return {
    layers,
    rows,
    adapted: ranks.size,
    adaptable: inLayers.length,
    trainableParameters,
    totalParameters: modelTensors(model).reduce((sum, { shape }) => sum + elements(shape), 0),
    full,
    tied: model.tied,
    problem,
  };
}

/**
 * The edits after which the modules of a row, a layer or one cell are adapted, or are not. The result is written as short
 * as it can be: `all-linear`, else names and layers, else names and single exceptions.
 */
export function toggleTargets(
  model: Model,
  recipe: Recipe,
  { row, layer, on }: { row: string | null; layer: number | null; on: boolean },
): RecipeEdit[] {
  const modules = adaptables(model).filter((module) => module.layer !== null);
  const names = shortNames(modules);
  const nameOf = (module: Adaptable): string => names.get(module.kind)!;
  let chosen: Set<string>;
  try {
    chosen = new Set(planAdapter(model, recipe).sites.keys());
  } catch {
    chosen = new Set();
  }
  for (const module of modules) {
    if ((row !== null && nameOf(module) !== row) || (layer !== null && module.layer !== layer)) continue;
    if (on) chosen.add(module.path);
    else chosen.delete(module.path);
  }
  const wanted = modules.filter(({ path }) => chosen.has(path));
  // Nothing at all is no recipe; the last module stays.
  if (wanted.length === 0) return [];
  const rows = [...new Set(wanted.map(nameOf))];
  const layers = [...new Set(wanted.map((module) => module.layer!))].sort((a, b) => a - b);
  const all = modules.every(({ path }) => chosen.has(path));
  const missing = modules.filter(
    (module) => rows.includes(nameOf(module)) && layers.includes(module.layer!) && !chosen.has(module.path),
  );
  const everyLayer = layers.length === model.layers;
  return [
    { key: 'target_modules', value: all || rows.length === names.size ? 'all-linear' : rows },
    ...clearOr('layers_to_transform', everyLayer ? null : layers, recipe.layers_to_transform),
    ...clearOr(
      'exclude_modules',
      missing.length === 0 ? null : missing.map(({ path }) => path),
      recipe.exclude_modules,
    ),
  ];
}

function clearOr(key: string, value: (string | number)[] | null, before: unknown): RecipeEdit[] {
  if (value !== null) return [{ key, value }];
  return before === null ? [] : [{ key }];
}
