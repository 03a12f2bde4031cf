// Adapters as calls name them → adapters that fit the model and its base, each with its weight. Shared by the calls that run
// several at once.
import type { Problem } from '../../protocol/errors';
import type { AdapterChoice, WeightedAdapter } from '../../protocol/trainer';
import type { LoadedAdapter } from '../adapters/loaded';
import { AdapterError, RecipeError, raiseProblems } from '../errors';
import type { BaseWeights } from '../execution/baseWeights';
import type { Model } from '../models/architecture';
import type { Runtime } from '../session';
import { changesBase, fittedAdapter } from '../train/fittedAdapter';

/** Weights stated, those of 0 left out. Raises one RecipeError for all that are no finite number. */
export function weighted(choices: readonly AdapterChoice[]): WeightedAdapter[] {
  const all = choices.map((choice) => (typeof choice === 'string' ? { folder: choice, weight: 1 } : choice));
  const problems = all.flatMap(({ folder, weight }): Problem[] =>
    Number.isFinite(weight)
      ? []
      : [{ where: folder, message: `has the weight ${weight}; expected a finite number` }],
  );
  raiseProblems(
    RecipeError,
    'adapter-weight-invalid',
    'These weights cannot be used:',
    problems,
    'Give a number, such as 1 for the adapter as it is.',
  );
  return all.filter(({ weight }) => weight !== 0);
}

/**
 * The adapters as they apply to the base that is loaded. Raises AdapterError where one brings a base of its own and is not
 * `alone`; the base is then changed, for LoftQ alone.
 */
export async function fittedAdapters(
  adapters: readonly LoadedAdapter[],
  o: { runtime: Runtime; model: Model; weights: BaseWeights; alone: boolean },
): Promise<LoadedAdapter[]> {
  const fitted: LoadedAdapter[] = [];
  for (const adapter of adapters) {
    if (changesBase(adapter) && !o.alone)
      throw new AdapterError({
        code: 'adapters-conflict',
        message: `${adapter.folder} belongs to the 4-bit values of the base (LoftQ), to which no other adapter can be added and beside which no other can be chosen.`,
        remedy: 'Give this adapter alone.',
      });
    fitted.push((await fittedAdapter(adapter, o)).adapter);
  }
  return fitted;
}
