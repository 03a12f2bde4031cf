// The call `estimate`: memory by part, whether it fits, and what would make it fit. Reads config and tensor headers only.
import type { EngineHost, EstimateParams, EstimateResult } from '../../protocol/trainer';
import { readEarlier } from '../adapters/earlier';
import { withLoraPlusRates } from '../adapters/loraPlus';
import { type AdapterPlan, planAdapter } from '../adapters/plan';
import { baseTensors } from '../checkpoint/baseTensors';
import { openCheckpoint } from '../checkpoint/folder';
import { cudaDevice, readDeviceUse } from '../cuda/deviceUse';
import { availableMemory } from '../estimate/availableMemory';
import { deviceContext } from '../estimate/deviceContext';
import { forecast, withContext } from '../estimate/forecast';
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
  const device = chooseDevice(recipe.device);
  const context =
    device.kind === 'cuda' ? deviceContext(cudaDevice(await readDeviceUse(), device.index ?? 0)?.name) : null;
  const expect = (one: typeof recipe) =>
    withContext(forecast(model, one, planned(one), undefined, packed), context);
  const { parts, totalBytes, deviceBytes, hostBytes } = expect(recipe);
  const note = preparationNote(planned(recipe));
  if (note !== undefined) host.emit({ type: 'note', message: note, time: new Date().toISOString() });
  const availableBytes = await availableMemory(device);
  const availableHostBytes = device.kind === 'cpu' ? null : await availableMemory({ kind: 'cpu' });
  const fits = fitsIn({ deviceBytes, hostBytes }, availableBytes, availableHostBytes);
  const need = (changed: typeof recipe): number => expect(changed).deviceBytes;
  return {
    totalBytes,
    parts,
    deviceBytes,
    hostBytes,
    availableBytes,
    availableHostBytes,
    context,
    fits,
    // A lighter program does not need less of system memory.
    suggestions:
      deviceBytes <= availableBytes ? [] : suggest(model, recipe, deviceBytes, availableBytes, need),
  };
}

/** Whether what a run holds finds room, in each place by itself. @param onHost null where the device is the CPU. */
export function fitsIn(
  { deviceBytes, hostBytes }: { deviceBytes: number; hostBytes: number },
  onDevice: number,
  onHost: number | null,
): boolean {
  return deviceBytes <= onDevice && (onHost === null || hostBytes <= onHost);
}
