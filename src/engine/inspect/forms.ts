// ΔW of an adapter's modules as factors, from its files alone: the base model is not needed where the file holds LoRA's two
// factors. It reads a module when it is asked for.
import { matchModules } from '../adapters/match';
import type { AdapterTensor } from '../adapters/peftFile';
import { parseName } from '../adapters/peftNames';
import { variantOf } from '../adapters/registry';
import type { AdapterSettings } from '../adapters/settings';
import { hasLoraForm, type LoraForm, type Site } from '../adapters/variant';

export interface ModuleForm {
  path: string;
  /** [out, in] of ΔW. */
  shape: readonly [number, number];
  rank: number;
  read(): Promise<LoraForm>;
}

/** The modules of an adapter by path; none where its method has no LoRA form, or not in this file. */
export function moduleForms(
  settings: AdapterSettings,
  tensors: ReadonlyMap<string, AdapterTensor>,
): Map<string, ModuleForm> {
  const variant = variantOf(settings.adapter);
  const paths = adaptedPaths(tensors, 'LORA');
  if (!hasLoraForm(variant, settings) || paths.length === 0) return new Map();
  const { r, lora_alpha, rank_pattern, alpha_pattern } = settings;
  const { targets } = matchModules(
    { r, lora_alpha, rank_pattern, alpha_pattern, target_modules: paths },
    paths.map((path) => ({ path, kind: 'linear' as const })),
  );
  const ofModule = new Map<string, AdapterTensor[]>();
  for (const tensor of tensors.values()) {
    const module = parseName(tensor.name, 'LORA')?.module;
    if (module !== undefined) ofModule.set(module, [...(ofModule.get(module) ?? []), tensor]);
  }
  return new Map(
    targets.map(({ path, r: rank, alpha }) => {
      const site = siteOf(path, rank, alpha, tensors);
      const read = async (): Promise<LoraForm> => {
        const values = new Map<string, Float32Array>();
        for (const tensor of ofModule.get(path) ?? []) values.set(tensor.name, await tensor.read());
        return variant.loraForm!(site, (name) => values.get(`base_model.model.${path}.${name}`)!, settings);
      };
      return [path, { path, shape: [site.outFeatures, site.inFeatures], rank, read }] as const;
    }),
  );
}

/** Modules whose tensors are those of a type. */
export function adaptedPaths(
  tensors: ReadonlyMap<string, AdapterTensor>,
  type: Parameters<typeof parseName>[1],
): string[] {
  const paths = new Set<string>();
  for (const name of tensors.keys()) {
    const parsed = parseName(name, type);
    if (parsed?.parameter) paths.add(parsed.module);
  }
  return [...paths];
}

/** The module as its tensors describe it; whether it is a Linear or a Conv1D shows only in the base model. */
export function siteOf(
  path: string,
  r: number,
  alpha: number,
  tensors: ReadonlyMap<string, AdapterTensor>,
): Site {
  const shapeOf = (parameter: string) => tensors.get(`base_model.model.${path}.${parameter}`)?.shape;
  const embedded = shapeOf('lora_embedding_A');
  const inFeatures = (embedded ?? shapeOf('lora_A.weight'))![1]!;
  const outFeatures = shapeOf(embedded ? 'lora_embedding_B' : 'lora_B.weight')![0]!;
  const weight = `${path}.weight`;
  const module: Site['module'] = embedded
    ? { kind: 'embedding', path, rows: inFeatures, width: outFeatures, weight, tokens: true }
    : { kind: 'linear', path, inFeatures, outFeatures, bias: false, weight };
  return { module, path, inFeatures, outFeatures, r, alpha };
}
