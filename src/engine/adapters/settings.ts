// The settings that shape an adapter, whether they come from a recipe or from an adapter_config.json; and the way between the
// two. Training settings (learning rate, steps) are none of them.
import type { Recipe } from '../../protocol/recipe';
import { patternsForFile, targetsForFile } from './matchFile';
import { type LoraConfig, loraConfig } from './peftConfig';
import { type AdapterPlan, matchOptions } from './plan';

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

/** What an adapter file says; `defaultTargets` stand in where it names none. */
export function settingsOfPeft(config: LoraConfig, defaultTargets: readonly string[]): AdapterSettings {
  const list = <T>(value: T | T[] | null): T[] | null =>
    value === null ? null : Array.isArray(value) ? value : [value];
  return {
    adapter: 'lora',
    init_lora_weights: config.init_lora_weights,
    r: config.r,
    lora_alpha: config.lora_alpha,
    lora_dropout: config.lora_dropout,
    use_rslora: config.use_rslora,
    bias: config.bias,
    target_modules: config.target_modules ?? defaultTargets,
    exclude_modules: config.exclude_modules,
    rank_pattern: config.rank_pattern,
    alpha_pattern: config.alpha_pattern,
    layers_to_transform: list(config.layers_to_transform),
    layers_pattern: list(config.layers_pattern),
    modules_to_save: config.modules_to_save ?? [],
    settings: { lora_bias: config.lora_bias },
  };
}

/** The adapter_config.json of a planned LoRA. */
export function peftOfPlan(plan: AdapterPlan, baseModel: string): LoraConfig {
  const { settings } = plan;
  const sites = [...plan.sites.values()];
  const targets = sites.map((site) => ({
    ...plan.modules.find((module) => module.path === site.path)!,
    r: site.r,
    alpha: site.alpha,
  }));
  const list = <T>(value: readonly T[] | null): T[] | null => (value && value.length > 0 ? [...value] : null);
  const { exclude_modules: excluded } = settings;
  return loraConfig({
    base_model_name_or_path: baseModel,
    task_type: 'CAUSAL_LM',
    r: settings.r,
    lora_alpha: settings.lora_alpha,
    lora_dropout: settings.lora_dropout,
    use_rslora: settings.use_rslora,
    bias: settings.bias,
    fan_in_fan_out: sites.some((site) => site.module.kind === 'conv1d'),
    init_lora_weights: settings.init_lora_weights as LoraConfig['init_lora_weights'],
    lora_bias: settings.settings.lora_bias === true,
    target_modules: targetsForFile(settings.target_modules, targets, plan.modules),
    exclude_modules: typeof excluded === 'string' ? excluded : list(excluded),
    ...patternsForFile(matchOptions(settings), targets),
    layers_to_transform: list(settings.layers_to_transform),
    layers_pattern: list(settings.layers_pattern),
    modules_to_save: list(settings.modules_to_save),
  });
}
