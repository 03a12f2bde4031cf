// The adapted modules of a safetensors file, by its tensors' names alone, with the scaling that adapter_config.json gives
// them. It reads no values; files of other programs have no modules here.
import { matchModules } from '../../engine/adapters/match';
import { normalName } from '../../engine/adapters/peftNames';
import type { TensorRef } from '../../engine/checkpoint/safetensors';
import { isJsonObject, type JsonObject } from '../../engine/files/json';

export interface AdaptedModule {
  path: string;
  /** [r, in] */
  a: TensorRef;
  /** [out, r] */
  b: TensorRef;
  /** AdaLoRA's diagonal, [r, 1]. */
  e: TensorRef | undefined;
  inFeatures: number;
  outFeatures: number;
  rank: number;
  /** ΔW = scale · b · diag(e) · a. */
  scale: number;
}

const factor =
  /^(?:base_model\.model\.)?(.+)\.(lora_A|lora_B|lora_E|lora_embedding_A|lora_embedding_B)(?:\.weight)?$/;

const numberOf = (value: unknown): number | undefined =>
  typeof value === 'number' && Number.isFinite(value) ? value : undefined;

/** Pairs of factors that fit one another; `config` is adapter_config.json, or undefined where it cannot be read. */
export function adaptedModules(
  tensors: Iterable<TensorRef>,
  config: JsonObject | undefined,
): AdaptedModule[] {
  const parts = new Map<string, { a?: TensorRef; b?: TensorRef; e?: TensorRef }>();
  for (const ref of tensors) {
    const match = factor.exec(normalName(ref.name));
    if (match === null) continue;
    const [, path, kind] = match as unknown as [string, string, string];
    const part = parts.get(path) ?? {};
    parts.set(path, part);
    if (kind.endsWith('A')) part.a = ref;
    else if (kind.endsWith('B')) part.b = ref;
    else part.e = ref;
  }
  const modules: AdaptedModule[] = [];
  for (const [path, { a, b, e }] of parts) {
    if (a?.shape.length !== 2 || b?.shape.length !== 2 || a.shape[0] !== b.shape[1] || a.shape[0] === 0)
      continue;
    const rank = a.shape[0]!;
    modules.push({ path, a, b, e, inFeatures: a.shape[1]!, outFeatures: b.shape[0]!, rank, scale: 1 });
  }
  const scaleOf = scaling(modules, config);
  return modules.map((module) => ({ ...module, scale: scaleOf(module) }));
}

function scaling(
  modules: readonly AdaptedModule[],
  config: JsonObject | undefined,
): (module: AdaptedModule) => number {
  const alpha = numberOf(config?.lora_alpha) ?? numberOf(config?.r) ?? undefined;
  const alphas = new Map<string, number>();
  const pattern = config?.alpha_pattern;
  if (alpha !== undefined && isJsonObject(pattern) && Object.keys(pattern).length > 0) {
    try {
      const paths = modules.map(({ path }) => path);
      const { targets } = matchModules(
        {
          r: 1,
          lora_alpha: alpha,
          rank_pattern: {},
          alpha_pattern: pattern as Record<string, number>,
          target_modules: paths,
        },
        paths.map((path) => ({ path, kind: 'linear' as const })),
      );
      for (const target of targets) alphas.set(target.path, target.alpha);
    } catch {
      // The reader of adapters reports what is wrong with the pattern.
    }
  }
  const adaptive = config?.peft_type === 'ADALORA';
  const initial = numberOf(config?.init_r);
  return ({ path, rank }) => {
    const own = alphas.get(path) ?? alpha;
    if (own === undefined) return 1;
    // AdaLoRA keeps alpha over the rank that it began with.
    const over = adaptive && initial !== undefined ? initial : rank;
    return own / (config?.use_rslora === true ? Math.sqrt(over) : over);
  };
}
