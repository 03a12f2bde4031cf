// What a start from the base weights holds in memory beyond them, at most, before the first step. The changed weights that it
// leaves stand in the originals' places and are counted there. Reads no weights.
import { initialisationOf } from '../adapters/initialisations/registry';
import type { AdapterPlan } from '../adapters/plan';
import type { Site } from '../adapters/variant';
import { decompositionBytes } from '../linalg/decompositionMemory';
import { covarianceBytes, passBytes } from '../train/calibrationPasses';

/** @param tokens of one batch of training data. */
export function startBytes({ plan, tokens }: { plan: AdapterPlan; tokens: number }): number {
  const { fromBase } = initialisationOf(plan.settings.init_lora_weights);
  if (!fromBase && !plan.variant.start) return 0;
  const sites = [...plan.sites.values()].filter(({ module }) => module.kind !== 'embedding');
  const most = (bytesOf: (site: Site) => number): number => Math.max(0, ...sites.map(bytesOf));
  const all = (bytesOf: (site: Site) => number): number =>
    sites.reduce((sum, site) => sum + bytesOf(site), 0);
  const decomposition = fromBase?.base === 'kept' ? 0 : most(oneWeight);
  const inputs = all(({ inFeatures }) => 4 * tokens * inFeatures);
  switch (fromBase?.calibration) {
    case 'covariance':
      // One pass's sums, the inputs of the pass's modules, scaled too, and a block of one product and its copy.
      return (
        Math.min(all(covarianceBytes), Math.max(passBytes.covariances, most(covarianceBytes))) +
        Math.max(2 * inputs + 2 ** 25, 3 * most(covarianceBytes) + decomposition)
      );
    case 'components': {
      const rho = Number(plan.settings.settings.eva_rho ?? 2);
      const followed = all((site) => 4 * Math.round(site.r * rho) * site.inFeatures);
      return followed + Math.min(inputs, passBytes.inputs);
    }
    default:
      return decomposition;
  }
}

/** The weight as it was, as it becomes, and on its way to and from the device; and its decomposition. */
function oneWeight({ inFeatures, outFeatures }: Site): number {
  return 3 * 4 * inFeatures * outFeatures + decompositionBytes(outFeatures, inFeatures);
}
