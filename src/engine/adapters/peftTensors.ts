// What is wrong with the tensors of an adapter beside its config: pairs, ranks, names. Knows no base model.
import type { Problem } from '../../protocol/errors';
import { shownName } from '../checkpoint/safetensorsHeader';
import { matchModules } from './match';
import type { LoraConfig, PeftConfig } from './peftConfig';
import type { AdapterTensor } from './peftFile';
import { parseName } from './peftNames';

/** Pairs, ranks and names, all that can be checked without the base model. */
export function tensorProblems(tensors: ReadonlyMap<string, AdapterTensor>, config: PeftConfig): Problem[] {
  const problems: Problem[] = [];
  const report = (name: string, message: string) => problems.push({ where: shownName(name), message });
  const show = (shape: readonly number[]) => `[${shape.join(', ')}]`;
  const ranks = new Map<string, Map<string, { name: string; rank: number }>>();
  let adapted = 0;
  for (const { name, dtype, shape } of tensors.values()) {
    const parsed = parseName(name, config.peft_type);
    if (!parsed) {
      report(
        name,
        config.peft_type === 'LORA'
          ? 'is no name of a LORA tensor; they read "base_model.model.<module>.lora_A.weight"'
          : `is no name of a tensor of ${config.peft_type}`,
      );
      continue;
    }
    if (!['F32', 'F16', 'BF16', 'F64'].includes(dtype))
      report(name, `is ${dtype}; expected F32, F16 or BF16`);
    if (!parsed.parameter) continue;
    adapted++;
    // The other types are compared with what the model plans alone.
    if (config.peft_type !== 'LORA') continue;
    const dims = /bias|magnitude/.test(parsed.parameter) ? 1 : 2;
    if (shape.length !== dims) {
      report(name, `has shape ${show(shape)}; expected ${dims} sizes`);
    } else if (dims === 2) {
      const isA = /_A(\.|$)/.test(parsed.parameter);
      const pair = ranks.get(parsed.module) ?? new Map();
      ranks.set(parsed.module, pair.set(isA ? 'A' : 'B', { name, rank: shape[isA ? 0 : 1]! }));
    } else if (parsed.parameter === 'lora_magnitude_vector' && !config.use_dora) {
      report(name, 'is a DoRA tensor, but use_dora is false');
    }
  }
  if (adapted === 0) report('adapter', `holds no ${config.peft_type} tensor at all`);
  if (config.peft_type !== 'LORA') return problems;
  const expectedRank = ranksByConfig([...ranks.keys()], config);
  for (const [module, pair] of ranks) {
    const [a, b] = [pair.get('A'), pair.get('B')];
    if (!a || !b) {
      report((a ?? b)!.name, `has no lora_${a ? 'B' : 'A'} beside it`);
      continue;
    }
    const expected = expectedRank.get(module);
    if (a.rank !== b.rank) report(b.name, `has rank ${b.rank}, but its lora_A has rank ${a.rank}`);
    else if (a.rank !== expected) report(a.name, `has rank ${a.rank}; adapter_config.json says ${expected}`);
    if (
      config.use_dora &&
      !tensors.has(a.name.replace(/\.lora_(embedding_)?A.*$/, '.lora_magnitude_vector'))
    ) {
      report(a.name, 'has no lora_magnitude_vector beside it, but use_dora is true');
    }
  }
  return problems;
}

function ranksByConfig(paths: string[], config: LoraConfig): Map<string, number> {
  if (paths.length === 0) return new Map();
  const { r, lora_alpha, rank_pattern } = config;
  const modules = paths.map((path) => ({ path, kind: 'linear' as const }));
  const { targets } = matchModules({ r, lora_alpha, rank_pattern, target_modules: paths }, modules);
  return new Map(targets.map((target) => [target.path, target.r]));
}
