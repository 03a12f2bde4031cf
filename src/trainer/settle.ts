// Puts the device that `auto` means here into a call's parameters, before its lock is taken and a runtime is opened.
import { settleDevice } from '../engine/execution/autoDevice';
import type { Recipe } from '../protocol/recipe';

interface Devices {
  recipe?: Recipe;
  notes?: readonly string[];
  device?: string | null;
}

/** The parameters with a device of its own name; those that leave the choice open on the CPU stay as they are. */
export async function settled<P>(params: P, settle: typeof settleDevice = settleDevice): Promise<P> {
  const { recipe, notes, device } = (params ?? {}) as Devices;
  if ((recipe?.device ?? device) !== 'auto') return params;
  const { device: taken, note } = await settle('auto');
  const told = notes && note ? { notes: [...notes, note] } : {};
  // The engine takes `auto` for the CPU; a recipe that is stored keeps its word.
  if (taken === 'cpu') return { ...params, ...told };
  return { ...params, ...told, ...(recipe ? { recipe: { ...recipe, device: taken } } : { device: taken }) };
}
