// What merging an adapter changes in a checkpoint, tensor by tensor. Comes in: a model, an adapter's plan and values. Goes
// out: for every parameter where its merged values come from, and whether embedding and head part. Computes nothing and
// knows no files.
import type { Problem } from '../../protocol/errors';
import { AdapterError, invariant, raiseProblems } from '../errors';
import type { Model } from '../models/architecture';
import type { LoadedAdapter } from './loaded';
import { type AdapterPlan, tensorsOfSite } from './plan';
import { hasLoraForm, type LoraForm, type Site } from './variant';

/** Where a merged parameter comes from: the base or what trained in its place, plus an update. */
export interface MergedParameter {
  /** Values in place of the base's, by the file's layout. */
  replacement?: Float32Array;
  /** Added to a weight. */
  delta?: WeightDelta;
  /** Computed from the weight by the method. */
  rebuilt?: WeightRebuilt;
  /** Added to a bias, [out]. */
  biasDelta?: Float32Array;
}

/** ΔW of one module, still in factors. */
export interface WeightDelta {
  form: LoraForm;
  inFeatures: number;
  outFeatures: number;
  /** The weight lies as [in, out] (Conv1D) or [vocabulary, width] (embeddings): ΔWᵀ is added. */
  transposed: boolean;
}

/** A module's weight as its method makes it from the base's. */
export interface WeightRebuilt {
  plan: AdapterPlan;
  site: Site;
  tensors: (name: string) => Float32Array;
}

export interface MergePlan {
  /** Changed tensors by the model's own names; all others stay as they are. */
  changed: ReadonlyMap<string, MergedParameter>;
  /** Tied in the base, different after the merge: the head gets a tensor of its own, `lm_head.weight`. */
  unties: boolean;
  /** Modules whose weight or bias changes. */
  modules: number;
}

/** The head's own tensor where a model is not tied. */
export const headTensor = 'lm_head.weight';

/**
 * Plans a merge.
 * @throws AdapterError `adapter-not-mergeable` that lists every module that cannot be merged, with the reason.
 */
export function planMerge(
  model: Model,
  adapter: Pick<LoadedAdapter, 'plan' | 'values' | 'folder'>,
): MergePlan {
  const { plan, values, folder } = adapter;
  const { variant, settings, sites, replaced } = plan;
  const problems: Problem[] = [];
  // One tensor may serve two modules (a tied head), so changes are gathered by module first.
  const byModule = new Map<string, { tensor: string; change: MergedParameter }>();
  const biases = new Map<string, MergedParameter>();
  const touched = new Set<string>();
  const valuesOf = (name: string): Float32Array => {
    const found = values.get(name);
    invariant(found, `${name} was loaded with the adapter`);
    return found;
  };

  for (const module of model.modules) {
    const { path } = module;
    const weight: MergedParameter = {};
    const bias: MergedParameter = {};
    const weightName = replaced.get(`${path}.weight`);
    const biasName = replaced.get(`${path}.bias`);
    if (weightName) weight.replacement = valuesOf(weightName);
    if (biasName) bias.replacement = valuesOf(biasName);
    const site = sites.get(path);
    if (site) {
      const tensors = tensorsOfSite(values, site);
      if (variant.mergedWeight && !hasLoraForm(variant, settings)) {
        weight.rebuilt = { plan, site, tensors };
      } else if (!variant.loraForm || !hasLoraForm(variant, settings)) {
        problems.push({
          where: path,
          message: `is adapted by ${variant.id}, which has no form as one weight`,
        });
        continue;
      }
      if (!weight.rebuilt) {
        const form = variant.loraForm!(site, tensors, settings);
        if (form.bias && !('bias' in module && module.bias)) {
          problems.push({
            where: path,
            message: 'has no bias to which the adapter’s bias (lora_bias) could be added',
          });
          continue;
        }
        const { inFeatures, outFeatures } = site;
        weight.delta = { form, inFeatures, outFeatures, transposed: module.kind !== 'linear' };
        if (form.bias) bias.biasDelta = form.bias;
      }
    }
    if (Object.keys(weight).length + Object.keys(bias).length > 0) touched.add(path);
    byModule.set(path, { tensor: 'weight' in module ? module.weight : `${path}.weight`, change: weight });
    if (Object.keys(bias).length > 0) biases.set(`${path}.bias`, bias);
  }
  raiseProblems(
    AdapterError,
    'adapter-not-mergeable',
    `The adapter ${folder} cannot be merged:`,
    problems,
    'Use the adapter beside its base model, without merging.',
  );

  const changed = new Map<string, MergedParameter>(biases);
  const head = byModule.get(model.head.path)!;
  const sharing = [...byModule].find(
    ([path, { tensor }]) => path !== model.head.path && tensor === head.tensor,
  );
  const unties = sharing !== undefined && !sameChange(head.change, sharing[1].change);
  for (const [path, { tensor, change }] of byModule) {
    if (path === model.head.path && (unties || sharing)) continue;
    if (Object.keys(change).length > 0) changed.set(tensor, change);
  }
  if (unties) changed.set(headTensor, head.change);
  return { changed, unties, modules: touched.size };
}

function sameChange(a: MergedParameter, b: MergedParameter): boolean {
  return a.replacement === b.replacement && !a.delta && !b.delta && !a.rebuilt && !b.rebuilt;
}
