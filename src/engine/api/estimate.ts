// The call `estimate`: memory by part, whether it fits, and what would make it fit. Reads config and tensor headers only.
import type { EngineHost, EstimateParams, EstimateResult } from '../../protocol/trainer';
import { readEarlier } from '../adapters/earlier';
import { withLoraPlusRates } from '../adapters/loraPlus';
import { type AdapterPlan, planAdapter } from '../adapters/plan';
import { baseTensors } from '../checkpoint/baseTensors';
import { openCheckpoint } from '../checkpoint/folder';
import { availableMemory } from '../estimate/availableMemory';
import { forecast } from '../estimate/forecast';
import { suggest } from '../estimate/suggestions';
import { chooseDevice } from '../execution/device';
import { modelOfRecipe } from '../models/stretchedPositions';
import { preparationNote } from '../train/preparation';

/** Estimates a validated recipe. Raises UserError where the checkpoint or the targets could not be trained at all. */
export async function estimate({ recipe }: EstimateParams, host: EngineHost): Promise<EstimateResult> {
  host.emit({
    type: 'progress',
    phase: 'compiling',
    message: 'Compiling the programs of the largest batch',
    fraction: null,
    time: new Date().toISOString(),
  });
  const checkpoint = await openCheckpoint(recipe.model);
  const { model } = modelOfRecipe(checkpoint.config, recipe);
  const { packed } = baseTensors(checkpoint, model);
  const earlier = await readEarlier(model, recipe);
  const planned = (one: typeof recipe): AdapterPlan =>
    withLoraPlusRates(planAdapter(model, one, earlier), one);
  const expect = (one: typeof recipe) => forecast(model, one, planned(one), undefined, packed);
  const { parts, totalBytes } = expect(recipe);
  const note = preparationNote(planned(recipe));
  if (note !== undefined) host.emit({ type: 'note', message: note, time: new Date().toISOString() });
  const availableBytes = await availableMemory(chooseDevice(recipe.device));
  const fits = totalBytes <= availableBytes;
  const need = (changed: typeof recipe): number => expect(changed).totalBytes;
  return {
    totalBytes,
    parts,
    availableBytes,
    fits,
    suggestions: fits ? [] : suggest(model, recipe, totalBytes, availableBytes, need),
  };
}
