// The adapters of earlier tasks, read from their folders for a plan: any with a LoRA form, and those that hold several tasks.
// Comes in: a model and settings. Goes out: pairs by task and module, in their files' bits, or every reason why one cannot
// be taken in. Knows no runtime and no method.
import type { Problem } from '../../protocol/errors';
import { AdapterError, raiseProblems, UserError } from '../errors';
import type { Model } from '../models/architecture';
import { type LoadedAdapter, loadAdapter } from './loaded';
import { type AdapterPlan, planAdapter, tensorsOfSite } from './plan';
import { variantOf } from './registry';
import type { AdapterSettings } from './settings';
import { type EarlierPair, type EarlierTask, hasLoraForm, type TaskForm } from './variant';

/** The plan of a run, with the adapters of earlier tasks that its settings name. */
export async function planWithEarlier(model: Model, settings: AdapterSettings): Promise<AdapterPlan> {
  return planAdapter(model, settings, await readEarlier(model, settings));
}

/** @throws AdapterError `earlier-adapters-unfit` with everything that is wrong with any of the folders. */
export async function readEarlier(model: Model, settings: AdapterSettings): Promise<EarlierTask[]> {
  const folders = variantOf(settings.adapter).earlier?.(settings) ?? [];
  const problems: Problem[] = [];
  const tasks: EarlierTask[] = [];
  for (const folder of folders) {
    try {
      const loaded = await loadAdapter(folder, model);
      const reason = unfit(loaded);
      if (reason === undefined) tasks.push(...tasksOf(loaded));
      else problems.push({ where: loaded.folder, message: reason });
    } catch (cause) {
      if (!(cause instanceof UserError)) throw cause;
      problems.push({ where: folder, message: cause.message, remedy: cause.remedy });
    }
  }
  raiseProblems(
    AdapterError,
    'earlier-adapters-unfit',
    'Adapters of earlier tasks cannot be taken in:',
    problems,
    'Leave them out of previous_adapters, or merge them into the base model first.',
  );
  return tasks;
}

/** Completes "<folder> …"; undefined where an adapter is fine. */
function unfit({ plan }: LoadedAdapter): string | undefined {
  const { variant, settings, replaced } = plan;
  if (!variant.tasks && !hasLoraForm(variant, settings))
    return `is a ${variant.id} adapter, which has no form as LoRA`;
  const [whole] = replaced.keys();
  if (whole !== undefined) return `holds a whole ${whole} (modules_to_save or bias)`;
  return settings.settings.lora_bias === true ? 'has biases of its own (lora_bias)' : undefined;
}

/** One adapter as tasks: what it holds of earlier ones, then its own. */
function tasksOf({ plan, values, folder }: LoadedAdapter): EarlierTask[] {
  const { variant, settings, earlier = [] } = plan;
  const names = variant.tasks ? [...earlier.map(({ name }) => name), folder] : [folder];
  const modules = names.map(() => new Map<string, EarlierPair>());
  for (const site of plan.sites.values()) {
    const tensors = tensorsOfSite(values, site);
    const forms: readonly TaskForm[] = variant.tasks?.(site, tensors, settings) ?? [
      variant.loraForm!(site, tensors, settings),
    ];
    forms.forEach((form, i) => {
      const { rank, a, b, stored, own } = form;
      if (rank === 0) return;
      modules[i]!.set(site.path, {
        rank,
        scaling: stored ? stored.alpha / rank : 1,
        values: { a, b: stored?.b ?? b, ...(own ? { own } : {}) },
      });
    });
  }
  return names.map((name, i) => ({ name, modules: modules[i]! }));
}
