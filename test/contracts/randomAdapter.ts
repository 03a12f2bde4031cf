// Adapters with random values for any model, in memory and as folders.
import { loraConfig } from '../../src/engine/adapters/peftConfig';
import { type AdapterPlan, planAdapter } from '../../src/engine/adapters/plan';
import { type AdapterSettings, settingsOfPeft } from '../../src/engine/adapters/settings';
import { elements } from '../../src/engine/dtype';
import type { Model } from '../../src/engine/models/architecture';
import { Random } from '../../src/engine/random';
import { writeResult } from '../../src/engine/train/output';

/** A recipe's adapter settings with PEFT's defaults for all that is not given. */
export function adapterSettings(model: Model, given: Partial<AdapterSettings> = {}): AdapterSettings {
  return { ...settingsOfPeft(loraConfig({ r: 4 }), model.defaultTargets), ...given };
}

/** Normal values of deviation `scale` for every tensor that a file holds; the others as they are made again. */
export function randomValues(plan: AdapterPlan, scale: number, seed = 1): Map<string, Float32Array> {
  const random = new Random(seed, 'adapter values');
  return new Map(
    plan.tensors.map(({ name, shape, unstored, initial }) => {
      const again = unstored && initial(random, () => Promise.reject(new Error('no base is needed')));
      return [
        name,
        again instanceof Float32Array
          ? again
          : Float32Array.from({ length: elements(shape) }, () => scale * random.normal()),
      ];
    }),
  );
}

/** Writes an adapter folder with random values. */
export async function writeRandomAdapter(
  folder: string,
  model: Model,
  given: Partial<AdapterSettings>,
  scale: number,
): Promise<void> {
  const plan = planAdapter(model, adapterSettings(model, given));
  await writeResult(folder, { plan, values: randomValues(plan, scale), baseFolder: 'base' }, []);
}
