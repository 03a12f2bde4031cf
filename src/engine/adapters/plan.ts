// Decides what a run trains: which modules get an adapter, which base tensors train as they are. Comes in: a model and
// settings. Goes out: sites and trained tensors, by name. Knows no runtime and no values.

import { AdapterError, invariant, raiseProblems } from '../errors';
import {
  type EmbeddingModule,
  type LinearModule,
  type Model,
  type Module,
  modelTensors,
} from '../models/architecture';
import { type MatchOptions, type MatchResult, type ModuleInfo, matchModules } from './match';
import { writtenOut } from './moduleWords';
import { variantOf } from './registry';
import type { AdapterSettings } from './settings';
import type { EarlierTask, ParameterGroup, PlannedTensor, Site, Variant } from './variant';

export interface AdapterPlan {
  variant: Variant;
  settings: AdapterSettings;
  /** By module path. */
  sites: ReadonlyMap<string, Site>;
  /** What the run trains and what its adapters keep: adapters before saved modules before biases. */
  tensors: readonly PlannedTensor[];
  /** Base parameter (`<module path>.weight`, `.bias`) → name of the trained tensor that stands in for it. */
  replaced: ReadonlyMap<string, string>;
  unmatched: MatchResult['unmatched'];
  /** All modules of the model, as the matching rules see them. */
  modules: readonly ModuleInfo[];
  /** Further files of the adapter's folder, by name. */
  sideFiles?: Readonly<Record<string, string>>;
  /** The adapters of earlier tasks, in their order. */
  earlier?: readonly EarlierTask[];
}

/** A site's tensors by the last part of their names, and shared ones by their whole names. */
export function tensorsOfSite(
  values: ReadonlyMap<string, Float32Array>,
  site: Pick<Site, 'path'>,
): (name: string) => Float32Array {
  return (name) => {
    const found = values.get(`${site.path}.${name}`) ?? values.get(name);
    invariant(found, `${name} of ${site.path} is there`);
    return found;
  };
}

/** What a model's modules are to the matching rules. */
export function moduleInfos(model: Model): ModuleInfo[] {
  return model.modules.map((module) => ({
    path: module.path,
    kind:
      'head' in module && module.head
        ? 'head'
        : module.kind === 'rmsnorm' || module.kind === 'layernorm'
          ? 'norm'
          : module.kind,
  }));
}

/**
 * Plans a run's trained tensors. Raises AdapterError for targets that match nothing or cannot be adapted.
 * @param earlier adapters of earlier tasks (earlier.ts), for methods that take them in.
 */
export function planAdapter(
  model: Model,
  given: AdapterSettings,
  earlier: readonly EarlierTask[] = [],
): AdapterPlan {
  const variant = variantOf(given.adapter);
  const settings = writtenOut(given, model);
  if (!model.modules.some((module) => isAdaptable(module) && variant.adapts(module)))
    return planFull(model, settings, variant);

  const modules = moduleInfos(model);
  const match = matchModules(matchOptions(settings), modules, model.defaultTargets);
  const sites = new Map(
    match.targets.map((target) => [
      target.path,
      {
        ...siteOf(model, target.path, variant.rank?.(settings) ?? target.r, target.alpha),
        ...(earlier.length > 0
          ? { earlier: earlier.map(({ modules }) => modules.get(target.path) ?? { rank: 0, scaling: 1 }) }
          : {}),
      },
    ]),
  );
  refuseLeftOut(earlier, sites);
  const refused = [...sites.values()].filter((site) => !variant.adapts(site.module));
  if (refused.length > 0) {
    throw new AdapterError({
      code: 'target-not-supported',
      message: `${settings.adapter} cannot adapt ${refused.map((site) => `${site.path} (${site.module.kind})`).join(', ')}.`,
      remedy: 'Take these modules out of target_modules.',
    });
  }
  const tensors: PlannedTensor[] = [
    ...(variant.shared?.([...sites.values()], settings, modelTensors(model)) ?? []),
    ...[...sites.values()].flatMap((site) =>
      variant.parameters(site, settings).map((tensor) => ({ ...tensor, site: site.path })),
    ),
  ];
  const replaced = new Map<string, string>();
  const saved = match.saved.filter((path) => !sites.has(path));
  for (const path of saved) {
    for (const tensor of moduleTensors(model, path)) {
      const module = ownerOf(model, path);
      tensors.push({ ...baseTensor(tensor, `${path}.${tensor.part}`), ...(module ? { module } : {}) });
      replaced.set(`${path}.${tensor.part}`, `${path}.${tensor.part}`);
    }
  }
  for (const bias of trainedBiases(model, settings, sites, new Set(saved))) {
    // PEFT wraps an adapted module and names what was inside `base_layer`.
    const name = sites.has(bias.path) ? `${bias.path}.base_layer.bias` : `${bias.path}.bias`;
    tensors.push(baseTensor(bias, name));
    replaced.set(`${bias.path}.bias`, name);
  }
  return { variant, settings, sites, tensors, replaced, unmatched: match.unmatched, modules, earlier };
}

/** Earlier tasks act in modules that have an adapter now; any other of their modules would be lost without a word. */
function refuseLeftOut(earlier: readonly EarlierTask[], sites: ReadonlyMap<string, Site>): void {
  const problems = earlier.flatMap(({ name, modules }) => {
    const left = [...modules.keys()].filter((path) => !sites.has(path));
    return left.length === 0
      ? []
      : [
          {
            where: name,
            message: `adapts ${left.slice(0, 5).join(', ')}${left.length > 5 ? ` and ${left.length - 5} more` : ''}, which target_modules leaves out`,
          },
        ];
  });
  raiseProblems(
    AdapterError,
    'earlier-module-left-out',
    'Adapters of earlier tasks change modules that this one does not adapt:',
    problems,
    'Add these modules to target_modules.',
  );
}

/** Every base tensor trains, each once: tied modules share it. */
function planFull(model: Model, settings: AdapterSettings, variant: Variant): AdapterPlan {
  const replaced = new Map<string, string>();
  const owners = new Map<string, PlannedTensor['module']>();
  for (const module of model.modules) {
    for (const tensor of moduleTensors(model, module.path)) {
      replaced.set(`${module.path}.${tensor.part}`, tensor.name);
      if (!owners.has(tensor.name)) owners.set(tensor.name, ownerOf(model, module.path));
    }
  }
  const tensors = modelTensors(model).map((tensor): PlannedTensor => {
    const module = owners.get(tensor.name);
    return { ...baseTensor(tensor, tensor.name), ...(module ? { module } : {}) };
  });
  return { variant, settings, sites: new Map(), tensors, replaced, unmatched: [], modules: [] };
}

/** The part of the settings that decides about modules. */
export function matchOptions(settings: AdapterSettings): MatchOptions {
  return {
    r: settings.r,
    lora_alpha: settings.lora_alpha,
    target_modules: settings.target_modules,
    exclude_modules: settings.exclude_modules,
    layers_to_transform: settings.layers_to_transform,
    layers_pattern: settings.layers_pattern,
    rank_pattern: settings.rank_pattern,
    alpha_pattern: settings.alpha_pattern,
    modules_to_save: settings.modules_to_save,
  };
}

export function siteOf(model: Model, path: string, r: number, alpha: number): Site {
  const module = model.modules.find((m) => m.path === path);
  if (!module || !isAdaptable(module))
    throw new Error(`${path} is no adaptable module; matching refuses those.`);
  const [inFeatures, outFeatures] =
    module.kind === 'embedding' ? [module.rows, module.width] : [module.inFeatures, module.outFeatures];
  return { module, path, inFeatures, outFeatures, r, alpha };
}

function isAdaptable(module: Module): module is LinearModule | EmbeddingModule {
  return module.kind === 'linear' || module.kind === 'conv1d' || module.kind === 'embedding';
}

interface BaseTensor {
  /** Checkpoint tensor that holds the start values. */
  name: string;
  shape: readonly number[];
}

/** A module's own tensors; `part` is `weight` or `bias`. */
function moduleTensors(model: Model, path: string): (BaseTensor & { part: string })[] {
  const module = model.modules.find((m) => m.path === path)!;
  const shapes = new Map(modelTensors(model).map((tensor) => [tensor.name, tensor.shape]));
  const weight = 'weight' in module ? module.weight : `${path}.weight`;
  const hasBias = module.kind === 'layernorm' || ('bias' in module && module.bias);
  return [
    { part: 'weight', name: weight, shape: shapes.get(weight)! },
    ...(hasBias ? [{ part: 'bias', name: `${path}.bias`, shape: shapes.get(`${path}.bias`)! }] : []),
  ];
}

/** The biases that `bias: all` or `bias: lora_only` trains. */
function trainedBiases(
  model: Model,
  settings: AdapterSettings,
  sites: ReadonlyMap<string, Site>,
  saved: ReadonlySet<string>,
) {
  if (settings.bias === 'none') return [];
  return model.modules
    .filter((module) => !saved.has(module.path) && (settings.bias === 'all' || sites.has(module.path)))
    .flatMap((module) =>
      moduleTensors(model, module.path)
        .filter((t) => t.part === 'bias')
        .map((t) => ({ ...t, path: module.path })),
    );
}

function ownerOf(model: Model, path: string): PlannedTensor['module'] {
  const module = model.modules.find((m) => m.path === path);
  return module && { path, kind: module.kind, head: path === model.head.path };
}

function baseTensor(source: BaseTensor, name: string): PlannedTensor {
  return { name, shape: source.shape, group: baseGroup(name), initial: (_, base) => base(source.name) };
}

/** The HF Trainer's rule: weight decay spares biases and norm weights. */
function baseGroup(name: string): ParameterGroup {
  const spared = /(^|\.)bias$/.test(name) || /(norm|ln_\w+)\.weight$/.test(name);
  return { learningRateScale: 1, decay: !spared };
}
