// The call `resize`: an adapter of another rank, the closest there is, with what that leaves out. Reads no weights of the base.
import { resolve } from 'node:path';
import type { EngineHost, ResizeParams, ResizeResult } from '../../protocol/trainer';
import { loraExport } from '../adapters/adapterFiles';
import { tensorsOfSite } from '../adapters/plan';
import { type Resized, resizeForm } from '../adapters/resize';
import { hasLoraForm } from '../adapters/variant';
import { AdapterError } from '../errors';
import { Random } from '../random';
import { openAdapter, writeDerived } from './derivedAdapter';

/** Resizes. Raises AdapterError where the method has no LoRA form, or CheckpointError. */
export async function resize(params: ResizeParams, host: EngineHost): Promise<ResizeResult> {
  const { base, adapter } = await openAdapter(params.model, params.adapter);
  const { plan, values, warnings } = adapter;
  const { variant, settings, sites } = plan;
  if (!hasLoraForm(variant, settings))
    throw new AdapterError({
      code: 'adapter-not-resizable',
      message: `${adapter.folder} is a ${variant.id} adapter, whose update is no product of two factors.`,
      remedy: 'Merge it into its base, or train with another r.',
    });
  const choice = params.rank === null ? { energy: params.energy ?? 1 } : { rank: params.rank };
  const resized = new Map<string, Resized>();
  for (const site of sites.values()) {
    const form = variant.loraForm!(site, tensorsOfSite(values, site), settings);
    // A module without a rank changes nothing and stays out.
    if (form.rank === 0) continue;
    const random = new Random(params.seed, 'resize', site.path);
    resized.set(site.path, resizeForm(form, site.inFeatures, choice, random));
    host.emit({
      type: 'progress',
      phase: 'merging',
      message: 'Resizing the adapter',
      fraction: resized.size / sites.size,
      time: new Date().toISOString(),
    });
  }
  const none = { rank: 0, a: new Float32Array(), b: new Float32Array() };
  const files = loraExport(plan, values, base, ({ path }) => resized.get(path)?.form ?? none);
  const sum = (key: 'energy' | 'lost'): number =>
    [...resized.values()].reduce((total, one) => total + one[key], 0);
  const relativeError = sum('energy') === 0 ? 0 : Math.sqrt(sum('lost') / sum('energy'));
  const out = resolve(params.out);
  await writeDerived(out, files, base, [
    ['Resized from', adapter.folder],
    ['Relative error of the update', Number(relativeError.toPrecision(3))],
  ]);
  return {
    out,
    relativeError,
    modules: [...resized].map(([path, { form, relativeError: error }]) => ({
      path,
      rankBefore: sites.get(path)!.r,
      rank: form.rank,
      relativeError: error,
    })),
    warnings,
  };
}
