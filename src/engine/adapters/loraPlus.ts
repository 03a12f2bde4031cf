// LoRA+ (Hayou et al., arXiv 2402.12354) for any adapter: factors on the output's side, and every vector, learn
// `loraplus_lr_ratio` times as fast as the rest; embedding adapters have a rate of their own. Groups only; no trace on disk.
import type { Recipe } from '../../protocol/recipe';
import type { AdapterPlan } from './plan';

export type LoraPlusRates = Pick<Recipe, 'learning_rate' | 'loraplus_lr_ratio' | 'loraplus_lr_embedding'>;

/** PEFT's rate for embedding adapters. */
const embeddingRate = 1e-6;

/** The plan with the learning rates of the recipe; the plan itself without `loraplus_lr_ratio`. */
export function withLoraPlusRates(plan: AdapterPlan, rates: LoraPlusRates): AdapterPlan {
  const { loraplus_lr_ratio: ratio, loraplus_lr_embedding: embedding, learning_rate: rate } = rates;
  if (ratio === null) return plan;
  const scaleOf = (tensor: AdapterPlan['tensors'][number]): number => {
    if (tensor.shape.length === 1) return ratio;
    const site = tensor.site === undefined ? undefined : plan.sites.get(tensor.site);
    if (site?.module.kind === 'embedding') return (embedding ?? embeddingRate) / rate;
    return tensor.outputSide ? ratio : 1;
  };
  return {
    ...plan,
    tensors: plan.tensors.map((tensor) => ({
      ...tensor,
      group: { ...tensor.group, learningRateScale: tensor.group.learningRateScale * scaleOf(tensor) },
    })),
  };
}
