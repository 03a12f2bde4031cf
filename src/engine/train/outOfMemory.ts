// What a run says when its device has no memory left: what was asked for, what was free, and which changes of the recipe need
// less. The device stays usable; what the run held is given back when it ends.
import type { Recipe } from '../../protocol/recipe';
import { withLoraPlusRates } from '../adapters/loraPlus';
import type { AdapterPlan } from '../adapters/plan';
import { planAdapter } from '../adapters/plan';
import type { PackedTensor } from '../checkpoint/packed';
import { SessionError } from '../errors';
import { availableMemory } from '../estimate/availableMemory';
import { forecast } from '../estimate/forecast';
import { suggest } from '../estimate/suggestions';
import type { Precision } from '../graph/precision';
import type { Model } from '../models/architecture';
import type { Runtime } from '../session';

/** Changes that a remedy names. */
const named = 3;

/** The error in full, asked at the moment of failure, before anything is released. Others come back as they are. */
export async function explainOutOfMemory(
  error: unknown,
  run: {
    runtime: Runtime;
    recipe: Recipe;
    model: Model;
    plan: AdapterPlan;
    precision: Precision;
    packed: ReadonlyMap<string, PackedTensor>;
  },
): Promise<unknown> {
  if (!(error instanceof SessionError) || error.code !== 'out-of-memory') return error;
  const { runtime } = run;
  const { kind, index } = runtime.device;
  const device = kind === 'cuda' ? `cuda:${index}` : kind;
  const { inUseBytes, reservedBytes, tensorBytes } = runtime.memory();
  const asked = askedBytes(error.message);
  const free = await availableMemory(runtime.device).catch(() => null);
  const held = kind === 'cpu' ? inUseBytes + tensorBytes : inUseBytes;
  const sentences = [
    asked === null ? `${device} has no memory left.` : `${device} has no room for ${size(asked)} more.`,
    `This run held ${size(held)} there${reservedBytes > inUseBytes ? ` and had ${size(reservedBytes - inUseBytes)} reserved` : ''}${free === null ? '' : `; ${size(free)} were free`}.`,
  ];
  const changes = lighter(run, asked ?? 0);
  return new SessionError({
    code: 'out-of-memory',
    // The runtime's own words come last: a heading and a notification show the first line.
    message: `${sentences.join(' ')}\n(${error.message})`,
    remedy:
      changes.length > 0
        ? `Set one of: ${changes.join('; ')}.`
        : 'Stop what else uses the device, or choose another device.',
    facts: { ...error.facts, device, asked_bytes: asked, free_bytes: free, held_bytes: held },
    cause: error,
  });
}

/** The bytes that the runtime asked for, from its words; null where they do not tell. */
export function askedBytes(message: string): number | null {
  const found = /requested (?:buffer of size|bytes of) (\d+)/i.exec(message);
  return found ? Number(found[1]) : null;
}

/** Changes of the recipe that need less by what was asked for, or by a tenth. */
function lighter(
  { recipe, model, plan, precision, packed }: Parameters<typeof explainOutOfMemory>[1],
  asked: number,
): string[] {
  try {
    const need = (changed: Recipe): number => {
      const planned = withLoraPlusRates(planAdapter(model, changed, plan.earlier), changed);
      return forecast(model, changed, planned, precision, packed).deviceBytes;
    };
    const total = need(recipe);
    const wanted = total - Math.max(asked, total / 10);
    return suggest(model, recipe, total, wanted, need)
      .slice(0, named)
      .map(({ change, totalBytes }) => `${change} (${size(total - totalBytes)} less)`);
  } catch {
    // Advice must not hide the failure itself.
    return [];
  }
}

function size(bytes: number): string {
  return bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(2)} GiB`;
}
