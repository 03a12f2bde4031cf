// Which base weights a run holds in four bits, and how: from its recipe, its plan and the checkpoint. Reads no weights.
import type { Recipe } from '../../protocol/recipe';
import type { FourBitParams } from '../../protocol/trainer';
import { initialisationOf } from '../adapters/initialisations/registry';
import type { AdapterPlan } from '../adapters/plan';
import type { PackedTensor } from '../checkpoint/packed';
import type { PackedWeights } from '../compile/forward';
import type { Model } from '../models/architecture';
import { quantFormatOf } from '../quantization/entries';
import { usualFormat } from '../quantization/packedWeight';
import { type BaseQuantization, packedForms } from './baseWeights';

/** What the recipe asks for; weights that train in full stay whole. */
export function baseQuantization(
  recipe: Pick<Recipe, 'load_in_4bit' | 'settings'>,
  model: Model,
  { replaced }: Pick<AdapterPlan, 'replaced'>,
): BaseQuantization | undefined {
  const format = quantFormatOf(recipe);
  if (!format) return undefined;
  const trained = model.modules.filter(({ path }) => replaced.has(`${path}.weight`));
  const except = new Set(trained.flatMap((module) => ('weight' in module ? [module.weight] : [])));
  return { format, except };
}

/** What a call asks for. */
export function calledQuantization(params: FourBitParams): BaseQuantization | undefined {
  if (!params.loadIn4bit) return undefined;
  const { quantType = usualFormat.quantType, doubleQuant = usualFormat.doubleQuant } = params;
  return { format: { ...usualFormat, quantType, doubleQuant } };
}

/** The forms once training begins: a start that replaces the base (LoftQ) puts four bits in its place. */
export function packedInRun(
  recipe: Recipe,
  model: Model,
  plan: AdapterPlan,
  stored: ReadonlyMap<string, PackedTensor>,
): PackedWeights {
  const forms = packedForms(model, stored, baseQuantization(recipe, model, plan));
  if (initialisationOf(plan.settings.init_lora_weights).fromBase?.base !== 'replaced') return forms;
  for (const { module, inFeatures, outFeatures } of plan.sites.values()) {
    if (module.kind === 'embedding' || forms.has(module.weight)) continue;
    const transposed = module.kind === 'conv1d';
    forms.set(module.weight, { ...usualFormat, inFeatures, outFeatures, transposed });
  }
  return forms;
}
