// Adapters with random values for any model, in memory and as folders.
import { loraConfig } from '../../src/engine/adapters/peftConfig';
import { type AdapterPlan, planAdapter } from '../../src/engine/adapters/plan';
import { type AdapterSettings, settingsOfPeft } from '../../src/engine/adapters/settings';
import type { EarlierTask } from '../../src/engine/adapters/variant';
import type { Batch } from '../../src/engine/data';
import { elements } from '../../src/engine/dtype';
import type { Model } from '../../src/engine/models/architecture';
import { Random } from '../../src/engine/random';
import { writeResult } from '../../src/engine/train/output';

/** A recipe's adapter settings with PEFT's defaults for all that is not given. */
export function adapterSettings(model: Model, given: Partial<AdapterSettings> = {}): AdapterSettings {
  return { ...settingsOfPeft(loraConfig({ r: 4 }), model.defaultTargets), ...given };
}

/** Two earlier tasks of other ranks and scalings on the same modules; the second leaves the first module alone. */
export function randomEarlier(plan: AdapterPlan, scale: number): EarlierTask[] {
  const random = new Random(7, 'earlier tasks');
  const normal = (count: number): Float32Array =>
    Float32Array.from({ length: count }, () => scale * random.normal());
  return [1, 2].map((rank, task) => ({
    name: `earlier ${task}`,
    modules: new Map(
      [...plan.sites.values()].slice(task).map(({ path, inFeatures, outFeatures }) => [
        path,
        {
          rank,
          scaling: 1.5 + task,
          values: { a: normal(rank * inFeatures), b: normal(outFeatures * rank) },
        },
      ]),
    ),
  }));
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

/** Two rows of six random tokens, each trained to tell the next. */
export function randomBatch(model: Model, seed = 5): Batch {
  const [rows, length] = [2, 6];
  const random = new Random(seed, 'batch');
  const ids = Int32Array.from({ length: rows * length }, () => random.below(model.vocabularySize));
  const targets = ids.map((_, i) => (i % length === length - 1 ? -100 : ids[i + 1]!));
  return {
    rows,
    length,
    ids,
    targets,
    positions: Int32Array.from(ids, (_, i) => i % length),
    segments: new Int32Array(ids.length).fill(1),
    trainedTokens: targets.filter((target) => target >= 0).length,
    tokens: ids.length,
    sourceRows: [],
  };
}
