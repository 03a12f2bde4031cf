// EVA (Paischer et al., arXiv 2410.07170): A starts as the principal directions of the module's input on the training data,
// B as zero; the base stays. Ranks go where they explain most: r on average, at most rho·r for one module.

import { invariant } from '../../errors';
import { isJsonObject } from '../../files/json';
import { matrix } from '../../linalg/matrix';
import { padded } from './factors';
import type { Initialisation } from './initialisation';
import { kaiming } from './kaiming';

export const eva: Initialisation = {
  entry: {
    id: 'eva',
    label: 'EVA: the principal directions of the data',
    summary:
      'Looks at the inputs of every module first, starts A there and gives more rank to modules whose inputs vary more.',
    fields: [
      {
        key: 'eva_rho',
        type: 'number',
        minimum: 1,
        maximum: 1000,
        default: 2,
        group: 'adapter',
        description: 'The most that a module’s rank may grow: rho · r. With 1 every module keeps r.',
      },
      {
        key: 'eva_tau',
        type: 'number',
        minimum: 0,
        maximum: 1,
        default: 0.99,
        group: 'adapter',
        advanced: true,
        description: 'Cosine similarity with the batch before from which a direction counts as found.',
      },
      {
        key: 'eva_use_label_mask',
        type: 'boolean',
        default: true,
        group: 'adapter',
        advanced: true,
        description: 'Looks only at tokens that the loss counts.',
      },
      {
        key: 'eva_whiten',
        type: 'boolean',
        default: false,
        group: 'adapter',
        advanced: true,
        description: 'Divides each direction by the root of its singular value.',
      },
      {
        key: 'eva_adjust_scaling_factors',
        type: 'boolean',
        default: true,
        group: 'adapter',
        advanced: true,
        description: 'Changes alpha with the rank of a module, so that alpha / r stays.',
      },
    ],
  },
  factors: kaiming.factors,
  peft: {
    write: (settings) => ({
      eva_config: {
        rho: settings.eva_rho ?? 2,
        tau: settings.eva_tau ?? 0.99,
        use_label_mask: settings.eva_use_label_mask ?? true,
        label_mask_value: -100,
        whiten: settings.eva_whiten ?? false,
        adjust_scaling_factors: settings.eva_adjust_scaling_factors ?? true,
      },
    }),
    read({ eva_config: own }) {
      const read: Record<string, number | boolean> = {};
      if (!isJsonObject(own)) return read;
      for (const key of ['rho', 'tau']) if (typeof own[key] === 'number') read[`eva_${key}`] = own[key];
      for (const key of ['use_label_mask', 'whiten', 'adjust_scaling_factors'])
        if (typeof own[key] === 'boolean') read[`eva_${key}`] = own[key];
      return read;
    },
  },
  fromBase: {
    base: 'kept',
    calibration: 'components',
    start(context) {
      const { components, site } = context;
      invariant(components && components.rows >= site.r, 'EVA is given as many directions as ranks');
      const a = matrix(site.r, site.inFeatures, components.data.slice(0, site.r * site.inFeatures));
      return Promise.resolve(padded(context, a, matrix(site.outFeatures, site.r)));
    },
  },
};

/**
 * How many directions each module gets: the `budget` largest ratios of all modules together.
 * @param ratios by module, from the largest down, already cut to the module's most.
 */
export function distributedRanks(
  ratios: ReadonlyMap<string, ArrayLike<number>>,
  budget: number,
): Map<string, number> {
  const all = [...ratios].flatMap(([path, values]) => Array.from(values, (value) => ({ path, value })));
  const counts = new Map([...ratios.keys()].map((path) => [path, 0]));
  for (const { path } of all.sort((a, b) => b.value - a.value).slice(0, budget))
    counts.set(path, counts.get(path)! + 1);
  return counts;
}
