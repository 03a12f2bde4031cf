// The call `convert`: an adapter as another type that computes the same, as a folder that PEFT loads. Reads no weights of
// the base.
import { resolve } from 'node:path';
import type { ConvertParams, ConvertResult } from '../../protocol/trainer';
import { loraExport } from '../adapters/adapterFiles';
import { tensorsOfSite } from '../adapters/plan';
import { hasLoraForm, type LoraForm, type Site } from '../adapters/variant';
import { AdapterError } from '../errors';
import { openAdapter, writeDerived } from './derivedAdapter';

/** Converts. Raises AdapterError where the method has no form of that type, or CheckpointError. */
export async function convert(params: ConvertParams): Promise<ConvertResult> {
  const { base, adapter } = await openAdapter(params.model, params.adapter);
  const { plan, values, warnings } = adapter;
  const { variant, settings } = plan;
  if (!hasLoraForm(variant, settings))
    throw new AdapterError({
      code: 'adapter-not-convertible',
      message: `${adapter.folder} is a ${variant.id} adapter: ${variant.averaged ? 'its gates depend on the input, so that no LoRA says the same' : 'its update depends on the base weights and is no product of two factors'}.`,
      remedy: variant.averaged
        ? 'Hold the gates at their means over a dataset with --average-over, which is not exact.'
        : 'Merge it into its base, which is exact, or train another type.',
    });
  const formOf = (site: Site): LoraForm => variant.loraForm!(site, tensorsOfSite(values, site), settings);
  const files =
    params.type === 'lora'
      ? loraExport(plan, values, base)
      : loraExport(plan, values, base, (site) => stabilised(formOf(site)));
  const config = params.type === 'lora' ? files.config : { ...files.config, use_rslora: true };
  const out = resolve(params.out);
  await writeDerived(out, { ...files, config }, base, [
    ['Converted from', adapter.folder],
    ['Type before', variant.id],
  ]);
  return { out, from: variant.id, modules: plan.sites.size, warnings };
}

/** The same update for rsLoRA, whose scaling is alpha/√r: alpha = r, and √r taken out of b. */
function stabilised(form: LoraForm): LoraForm {
  if (form.rank === 0) return form;
  const root = Math.sqrt(form.rank);
  return { ...form, stored: { alpha: form.rank, b: form.b.map((value) => value / root) } };
}
