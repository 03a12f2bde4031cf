// Looks at a PEFT adapter without its base model: settings, tensors with their norms, how far every module moved.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from '../../protocol/errors';
import type { InspectedTensor, InspectResult } from '../../protocol/trainer';
import { locateAdapter } from '../adapters/adapterLocation';
import { nativeStateName, nativeWeightsName } from '../adapters/adapterNames';
import { matchModules } from '../adapters/match';
import { settingsOfState } from '../adapters/nativeState';
import { type AdapterTensor, readAdapterFolder, readTensors } from '../adapters/peftFile';
import { parseName } from '../adapters/peftNames';
import { variantOf } from '../adapters/registry';
import { type AdapterSettings, settingsOfPeft } from '../adapters/settings';
import { matchOfBase } from '../checkpoint/fingerprint';
import { findNonFinite } from '../checkpoint/finite';
import { shownName } from '../checkpoint/safetensorsHeader';
import { elements } from '../dtype';
import { AdapterError } from '../errors';
import { readJsonObject } from '../files/json';
import { adaptedPaths, siteOf } from './forms';
import { frobeniusNorm, productNorm } from './norms';
import { sharedPairs } from './sharedPairs';

const weightsFile = 'adapter_model.safetensors';
/** Below this share of ‖A‖·‖B‖ a product is rounding alone: orthogonal starts have BA = 0 with both factors there. */
const still = 1e-6;

/** Lists ΔW of every module (`ΔW <path>`) before the file's tensors. */
export async function inspectAdapter(path: string): Promise<InspectResult> {
  const located = await locateAdapter(path);
  const names = await readdir(located).catch((): string[] => []);
  // The method's own settings and tensors say more than the LoRA that stands beside them.
  if (names.includes(nativeStateName)) return inspectNative(located);
  const { folder, config, tensors, warnings } = await readAdapterFolder(path, { acceptsBaseChange: true });
  const problems: Problem[] = warnings.map((message) => ({ where: folder, message }));
  const values = new Map<string, Float32Array>();
  const listed: InspectedTensor[] = [];
  for (const tensor of tensors.values()) {
    const data = await tensor.read();
    const bad = findNonFinite(data);
    if (bad) {
      problems.push({
        where: shownName(tensor.name),
        message: `holds ${bad.nan} NaN and ${bad.infinite} infinite values, the first at element ${bad.firstIndex}`,
        remedy: 'Take an earlier checkpoint of the run, or the adapter from its source again.',
      });
    }
    if (parseName(tensor.name, config.peft_type)?.parameter) values.set(tensor.name, data);
    listed.push({
      name: tensor.name,
      dtype: tensor.dtype,
      shape: tensor.shape,
      norm: bad ? null : frobeniusNorm(data),
    });
  }
  const settings = settingsOfPeft(config, []);
  const useDora = 'use_dora' in config && config.use_dora;
  const modules = deltas(settings, tensors, values);
  const unmoved = modules.filter((module) => module.unmoved);
  if (unmoved.length > 0) {
    problems.push({
      where: folder,
      message: `${unmoved.length} of ${modules.length} modules never moved (ΔW = 0): ${unmoved
        .slice(0, 5)
        .map((module) => module.path)
        .join(', ')}${unmoved.length > 5 ? ', …' : ''}.`,
      remedy:
        'Check that the run trained these modules; an adapter that was only initialised changes nothing.',
    });
  }
  const base = await matchOfBase(join(folder, weightsFile), config.base_model_name_or_path);
  if (base === 'mismatch') {
    problems.push({
      where: folder,
      message: `The base ${config.base_model_name_or_path} has other weights than the one that the adapter was trained on.`,
      remedy: 'Use the base that it was trained on; on another one it says something else.',
    });
  }
  const moved = modules.map((module) => module.norm).filter((norm) => norm !== null);
  const parameters = [...tensors.values()].reduce((sum, tensor) => sum + elements(tensor.shape), 0);
  const targets = config.target_modules;
  const sharing = sharedPairs(values).reduce((sum, group) => sum + group.length, 0);
  const count = modules.length > 0 ? modules.length : adaptedPaths(tensors, config.peft_type).length;
  return {
    kind: 'adapter',
    path: folder,
    summary: `${variantOf(settings.adapter).entry.label.split(':')[0]} adapter, r ${config.r}, on ${count} modules, ${parameters} parameters`,
    facts: {
      peft_type: config.peft_type,
      base_model_name_or_path: config.base_model_name_or_path,
      base_fingerprint: base,
      r: config.r,
      lora_alpha: settings.lora_alpha,
      lora_dropout: settings.lora_dropout,
      use_rslora: settings.use_rslora,
      use_dora: useDora,
      bias: config.bias,
      init_lora_weights: String(settings.init_lora_weights),
      target_modules: Array.isArray(targets) ? targets.join(', ') : targets,
      modules_to_save: config.modules_to_save?.join(', ') ?? null,
      modules: count,
      ...(sharing > 0 ? { 'modules that share a pair': sharing } : {}),
      parameters,
      bytes: [...tensors.values()].reduce((sum, tensor) => sum + tensor.ref.bytes, 0),
      dtype: [...new Set([...tensors.values()].map((tensor) => tensor.dtype))].join(', '),
      'largest ΔW': moved.length > 0 ? Math.max(...moved) : null,
      'smallest ΔW': moved.length > 0 ? Math.min(...moved) : null,
    },
    tensors: [
      ...modules.map(({ path: module, shape, norm }) => ({
        name: `ΔW ${module}`,
        dtype: 'F32',
        shape,
        norm,
      })),
      ...listed,
    ],
    problems,
  };
}

/** An adapter whose method PEFT does not have. */
async function inspectNative(folder: string): Promise<InspectResult> {
  const where = join(folder, nativeStateName);
  const remedy = 'Save the adapter again, or take the folder from where it came from.';
  const settings = settingsOfState(
    await readJsonObject(where, { ErrorClass: AdapterError, prefix: 'adapter-state', remedy }),
    where,
  );
  const tensors = await readTensors(join(folder, nativeWeightsName));
  const problems: Problem[] = [];
  const listed: InspectedTensor[] = [];
  for (const { name, dtype, shape, read } of tensors.values()) {
    const data = await read();
    const bad = findNonFinite(data);
    if (bad) {
      problems.push({
        where: shownName(name),
        message: `holds ${bad.nan} NaN and ${bad.infinite} infinite values, the first at element ${bad.firstIndex}`,
        remedy: 'Take an earlier checkpoint of the run, or the adapter from its source again.',
      });
    }
    listed.push({ name, dtype, shape, norm: bad ? null : frobeniusNorm(data) });
  }
  const parameters = [...tensors.values()].reduce((sum, { shape }) => sum + elements(shape), 0);
  const shown = (value: unknown): string | number | boolean | null =>
    typeof value === 'number' || typeof value === 'boolean' || value === null ? value : String(value);
  return {
    kind: 'adapter',
    path: folder,
    summary: `${variantOf(settings.adapter).entry.label.split(':')[0]} adapter, r ${settings.r}, ${tensors.size} tensors, ${parameters} parameters`,
    facts: {
      adapter: settings.adapter,
      r: settings.r,
      lora_alpha: settings.lora_alpha,
      target_modules: shown(settings.target_modules),
      ...Object.fromEntries(Object.entries(settings.settings).map(([key, value]) => [key, shown(value)])),
      parameters,
    },
    tensors: listed,
    problems,
  };
}

interface Delta {
  path: string;
  shape: readonly number[];
  /** ‖ΔW‖; null where a factor is not finite. */
  norm: number | null;
  unmoved: boolean;
}

/** ‖ΔW‖ of every adapted module, from the method's own LoRA form. */
function deltas(
  settings: AdapterSettings,
  tensors: ReadonlyMap<string, AdapterTensor>,
  values: ReadonlyMap<string, Float32Array>,
): Delta[] {
  const variant = variantOf(settings.adapter);
  const { r, lora_alpha, rank_pattern, alpha_pattern } = settings;
  // Without the base model the shapes are known where the file holds LoRA's two factors.
  const paths = adaptedPaths(tensors, 'LORA');
  if (!variant.loraForm || paths.length === 0) return [];
  const { targets } = matchModules(
    { r, lora_alpha, rank_pattern, alpha_pattern, target_modules: paths },
    paths.map((path) => ({ path, kind: 'linear' as const })),
  );
  return targets.map(({ path, r: rank, alpha }) => {
    const site = siteOf(path, rank, alpha, tensors);
    const form = variant.loraForm!(site, (name) => values.get(`base_model.model.${path}.${name}`)!, settings);
    const shape = [site.outFeatures, site.inFeatures];
    if (findNonFinite(form.a) || findNonFinite(form.b)) return { path, shape, norm: null, unmoved: false };
    const norm = productNorm(form.b, form.a, form.rank);
    return { path, shape, norm, unmoved: norm <= still * frobeniusNorm(form.a) * frobeniusNorm(form.b) };
  });
}
