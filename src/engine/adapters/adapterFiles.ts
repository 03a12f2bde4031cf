// What an adapter's folder holds, by its method: PEFT's own form where there is one; else our own tensors beside the LoRA
// that says the same exactly, so that PEFT loads every adapter that has a LoRA form. Writes nothing.
import type { JsonObject } from '../files/json';
import { taskFolder } from './adapterNames';
import { stateOfEarlier } from './earlierState';
import { patternsForFile, targetsForFile } from './matchFile';
import { settingsForState } from './nativeState';
import { peftConfig } from './peftConfig';
import { fileName } from './peftNames';
import type { AdapterToWrite } from './peftWriting';
import { type AdapterPlan, tensorsOfSite } from './plan';
import { compact, keptShape } from './ranksInFile';
import { peftOfPlan } from './settings';
import { hasLoraForm, type LoraForm, type PlannedTensor, type Site } from './variant';

type Files = Pick<AdapterToWrite, 'config' | 'tensors' | 'native' | 'parts'>;
type Values = ReadonlyMap<string, Float32Array>;

/** The files of a trained adapter. `host` is what its method's host part keeps. */
export function adapterFiles(plan: AdapterPlan, values: Values, baseModel: string, host?: JsonObject): Files {
  const { variant, settings } = plan;
  const stored = plan.tensors.filter((tensor) => !tensor.unstored);
  if (variant.peft) {
    const config = peftOfPlan(plan, baseModel, host);
    const keptOf = (tensor: PlannedTensor) =>
      tensor.site === undefined ? undefined : variant.peft!.kept?.(config, plan.sites.get(tensor.site)!);
    return {
      config,
      tensors: stored.map((tensor) => ({
        name: fileName(tensor.name),
        shape: keptShape(tensor, keptOf(tensor)),
        data: compact(values.get(tensor.name)!, tensor, keptOf(tensor)),
      })),
    };
  }
  const native = {
    state: {
      version: 1,
      settings: settingsForState(settings, variant),
      ...stateOfEarlier(plan.earlier ?? []),
    },
    tensors: stored.map(({ name, shape }) => ({ name: fileName(name), shape, data: values.get(name)! })),
  };
  const parts = taskFolders(plan, values, baseModel);
  if (hasLoraForm(variant, settings) && parts.size === 0)
    return { ...loraExport(plan, values, baseModel), native };
  // No PEFT type says this; a reader that knows PEFT's alone stops at the name.
  const config = { peft_type: variant.id.toUpperCase(), base_model_name_or_path: baseModel };
  return { config, tensors: [], native, parts };
}

/** Every task as a LoRA folder of its own, `task-1` the first; none for an adapter that is saved as one. */
function taskFolders(
  plan: AdapterPlan,
  values: Values,
  baseModel: string,
): Map<string, Pick<AdapterToWrite, 'config' | 'tensors'>> {
  const { variant, settings, earlier = [] } = plan;
  if (!variant.tasks || !variant.savesTasks?.(settings)) return new Map();
  const forms = new Map(
    [...plan.sites.values()].map((site) => [
      site.path,
      variant.tasks!(site, tensorsOfSite(values, site), settings),
    ]),
  );
  return new Map(
    Array.from({ length: earlier.length + 1 }, (_, i) => [
      taskFolder(i),
      loraExport(plan, values, baseModel, ({ path }) => forms.get(path)![i]!),
    ]),
  );
}

/** The LoRA adapter that computes exactly what this one does: alpha = r and all scaling in B, or as the form stores it. */
export function loraExport(
  plan: AdapterPlan,
  values: Values,
  baseModel: string,
  formOf: (site: Site) => LoraForm = (site) =>
    plan.variant.loraForm!(site, tensorsOfSite(values, site), plan.settings),
): Pick<AdapterToWrite, 'config' | 'tensors'> {
  const { settings } = plan;
  const tensors: { name: string; shape: readonly number[]; data: Float32Array }[] = [];
  const targets: { path: string; kind: 'linear'; r: number; alpha: number }[] = [];
  let biased = false;
  for (const site of plan.sites.values()) {
    const form = formOf(site);
    // PEFT knows no rank 0: such a module has no adapter.
    if (form.rank === 0) continue;
    targets.push({ path: site.path, kind: 'linear', r: form.rank, alpha: form.stored?.alpha ?? form.rank });
    const [a, b] =
      site.module.kind === 'embedding'
        ? ['lora_embedding_A', 'lora_embedding_B']
        : ['lora_A.weight', 'lora_B.weight'];
    const put = (part: string, shape: readonly number[], data: Float32Array): void => {
      tensors.push({ name: fileName(`${site.path}.${part}`), shape, data });
    };
    put(a!, [form.rank, site.inFeatures], form.a);
    put(b!, [site.outFeatures, form.rank], form.stored?.b ?? form.b);
    if (form.bias) {
      biased = true;
      put('lora_B.bias', [site.outFeatures], form.bias);
    }
  }
  const shapes = new Map(plan.tensors.map(({ name, shape }) => [name, shape]));
  for (const name of new Set(plan.replaced.values()))
    tensors.push({ name: fileName(name), shape: shapes.get(name)!, data: values.get(name)! });

  const [usual, usualAlpha] = [targets[0]?.r ?? settings.r, targets[0]?.alpha ?? settings.lora_alpha];
  const others = (key: 'r' | 'alpha', value: number) =>
    Object.fromEntries(
      targets.filter((target) => target[key] !== value).map((target) => [target.path, target[key]] as const),
    );
  const config = peftConfig('LORA', {
    base_model_name_or_path: baseModel,
    task_type: 'CAUSAL_LM',
    r: usual,
    lora_alpha: usualAlpha,
    lora_bias: biased,
    bias: settings.bias,
    fan_in_fan_out: [...plan.sites.values()].some((site) => site.module.kind === 'conv1d'),
    target_modules: targetsForFile('all-linear', targets, plan.modules),
    ...patternsForFile(
      {
        r: usual,
        lora_alpha: usualAlpha,
        target_modules: null,
        rank_pattern: others('r', usual),
        alpha_pattern: others('alpha', usualAlpha),
      },
      targets,
    ),
    modules_to_save: settings.modules_to_save.length > 0 ? [...settings.modules_to_save] : null,
  });
  return { config, tensors };
}
