// The settings that shape an adapter, whether they come from a recipe or from an adapter_config.json; and the way between the
// two. Training settings (learning rate, steps) are none of them.
import type { Recipe } from '../../protocol/recipe';
import { invariant } from '../errors';
import type { JsonObject } from '../files/json';
import { initialisationOf } from './initialisations/registry';
import { patternsForFile, targetsForFile } from './matchFile';
import { type LoraConfig, loraConfig, type PeftConfig, peftConfig } from './peftConfig';
import { type AdapterPlan, matchOptions } from './plan';
import { variants } from './registry';

export type AdapterSettings = Pick<
  Recipe,
  | 'adapter'
  | 'init_lora_weights'
  | 'r'
  | 'lora_alpha'
  | 'lora_dropout'
  | 'use_rslora'
  | 'bias'
  | 'target_modules'
  | 'exclude_modules'
  | 'rank_pattern'
  | 'alpha_pattern'
  | 'layers_to_transform'
  | 'layers_pattern'
  | 'modules_to_save'
  | 'settings'
>;

/** With nothing switched on and no rank: where no recipe speaks, a caller adds what it needs. */
export function bareSettings(adapter: string): AdapterSettings {
  return {
    adapter,
    init_lora_weights: true,
    r: 0,
    lora_alpha: 0,
    lora_dropout: 0,
    use_rslora: false,
    bias: 'none',
    target_modules: [],
    exclude_modules: null,
    rank_pattern: {},
    alpha_pattern: {},
    layers_to_transform: null,
    layers_pattern: null,
    modules_to_save: [],
    settings: {},
  };
}

/** What an adapter file says; `defaultTargets` stand in where it names none. */
export function settingsOfPeft(config: PeftConfig, defaultTargets: readonly string[]): AdapterSettings {
  const found = variants.flatMap((variant) => {
    const own = variant.peft?.type === config.peft_type ? variant.peft.read(config) : undefined;
    return own ? [{ ...own, adapter: variant.id }] : [];
  });
  invariant(found.length === 1, `one method reads this ${config.peft_type} file, not ${found.length}`);
  const list = <T>(value: T | T[] | null): T[] | null =>
    value === null ? null : Array.isArray(value) ? value : [value];
  // Keys that a type does not have take LORA's defaults.
  const common = { ...loraConfig(), ...config } as LoraConfig;
  return {
    init_lora_weights: common.init_lora_weights,
    r: common.r,
    lora_alpha: common.lora_alpha,
    lora_dropout: common.lora_dropout,
    use_rslora: common.use_rslora,
    bias: common.bias,
    target_modules: common.target_modules ?? defaultTargets,
    exclude_modules: common.exclude_modules,
    rank_pattern: common.rank_pattern,
    alpha_pattern: common.alpha_pattern,
    layers_to_transform: list(common.layers_to_transform),
    layers_pattern: list(common.layers_pattern),
    modules_to_save: common.modules_to_save ?? [],
    ...found[0]!,
    settings: {
      ...found[0]!.settings,
      ...initialisationOf(common.init_lora_weights).peft?.read(config as unknown as JsonObject),
    },
  };
}

/** The adapter_config.json of a plan whose method is one of PEFT's. `host` is what its host part keeps. */
export function peftOfPlan(plan: AdapterPlan, baseModel: string, host?: JsonObject): PeftConfig {
  const { settings, variant } = plan;
  invariant(variant.peft, `${variant.id} has a form in PEFT`);
  const sites = [...plan.sites.values()];
  const targets = sites.map((site) => ({
    ...plan.modules.find((module) => module.path === site.path)!,
    r: site.r,
    alpha: site.alpha,
  }));
  const list = <T>(value: readonly T[] | null): T[] | null => (value && value.length > 0 ? [...value] : null);
  const { exclude_modules: excluded } = settings;
  return peftConfig(variant.peft.type, {
    base_model_name_or_path: baseModel,
    task_type: 'CAUSAL_LM',
    r: settings.r,
    lora_alpha: settings.lora_alpha,
    lora_dropout: settings.lora_dropout,
    use_rslora: settings.use_rslora,
    bias: settings.bias,
    fan_in_fan_out: sites.some((site) => site.module.kind === 'conv1d'),
    init_lora_weights: settings.init_lora_weights,
    target_modules: targetsForFile(settings.target_modules, targets, plan.modules),
    exclude_modules: typeof excluded === 'string' ? excluded : list(excluded),
    ...patternsForFile(matchOptions(settings), targets),
    layers_to_transform: list(settings.layers_to_transform),
    layers_pattern: list(settings.layers_pattern),
    modules_to_save: list(settings.modules_to_save),
    ...variant.peft.write(settings, sites, host),
    ...initialisationOf(settings.init_lora_weights).peft?.write(settings.settings),
  });
}
