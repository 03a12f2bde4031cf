// A loaded adapter as it applies to a base: PEFT's raw PiSSA and OLoRA files become a LoRA of the original base, for which the
// start is computed again; a LoftQ file puts the quantised base in place.
import { convertedPlan, convertedValues } from '../adapters/convert';
import type { LoadedAdapter } from '../adapters/loaded';
import { planAdapter } from '../adapters/plan';
import type { BaseWeights, ChangeableWeights } from '../execution/baseWeights';
import type { Model } from '../models/architecture';
import type { Runtime } from '../session';
import { prepareStart } from './start';

/** Where PEFT repeats the start when it loads a file. */
const repeated = ['pissa', 'olora', 'loftq'];

/** Whether an adapter needs another base in place of the checkpoint's (LoftQ). */
export const changesBase = ({ plan }: LoadedAdapter): boolean => plan.settings.init_lora_weights === 'loftq';

/**
 * @param o.weights are changed for LoftQ alone.
 * @returns whether they were, and the adapter that fits them.
 */
export async function fittedAdapter(
  adapter: LoadedAdapter,
  o: { runtime: Runtime; model: Model; weights: BaseWeights },
): Promise<{ adapter: LoadedAdapter; baseChanged: boolean }> {
  const { plan, values } = adapter;
  const init = plan.settings.init_lora_weights;
  if (!repeated.includes(String(init))) return { adapter, baseChanged: false };
  const keepsBase = !changesBase(adapter);
  const start = await prepareStart({
    ...o,
    weights: keepsBase ? withoutChange(o.weights) : o.weights,
    plan,
    planFor: (settings) => planAdapter(o.model, settings),
    // What decides between equal directions; products do not depend on it.
    seed: 0,
    packing: false,
    batches: () => [],
    onProgress: () => {},
  });
  if (!keepsBase) return { adapter, baseChanged: true };
  // Factors without a start of their own (embeddings) begin with a zero product.
  const zeros = new Map(
    plan.tensors
      .filter(({ name }) => !start.values.has(name))
      .map(({ name }) => [name, new Float32Array(values.get(name)!.length)] as const),
  );
  return {
    adapter: {
      ...adapter,
      plan: convertedPlan(plan),
      values: convertedValues(plan, values, new Map([...zeros, ...start.values])),
    },
    baseChanged: false,
  };
}

/** The same weights, of which nothing is replaced. */
function withoutChange(weights: BaseWeights): ChangeableWeights {
  return {
    original: (name) => weights.original(name),
    // The starts of PEFT's files are those of whole weights.
    packed: new Map(),
    precision: weights.precision,
    replacePacked: () => {},
    values: (name) => weights.values(name),
    tensor: (name) => weights.tensor(name),
    replace: () => {},
  };
}
