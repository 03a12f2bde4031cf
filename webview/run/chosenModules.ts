// What a method chose between a model's modules → layers with the modules that have a pair of their own. Pure.
import type { ModuleChoice } from '../../src/protocol/run';
import { plural } from '../shared/texts';

export interface ChosenLayer {
  /** Null for modules outside of the layers. */
  layer: number | null;
  /** In the order of the model. `importance` is 0…1, of the modules of its group. */
  modules: { place: string; importance: number }[];
}

export interface ChosenModules {
  kept: number;
  total: number;
  /** Pairs that the other modules share. */
  sharedPairs: number;
  layers: ChosenLayer[];
}

/** `model.layers.3.self_attn.q_proj` stands in layer 3 as `self_attn.q_proj`; the first number of a path is its layer. */
export function chosenModules(choices: readonly ModuleChoice[]): ChosenModules {
  const layers = new Map<number | null, ChosenLayer>();
  const kept = choices.filter((choice) => choice.kept);
  for (const { path, importance } of kept) {
    const parts = path.split('.');
    const at = parts.findIndex((part) => /^\d+$/.test(part));
    const layer = at < 0 ? null : Number(parts[at]);
    const entry = layers.get(layer) ?? { layer, modules: [] };
    layers.set(layer, entry);
    entry.modules.push({ place: at < 0 ? path : parts.slice(at + 1).join('.'), importance });
  }
  return {
    kept: kept.length,
    total: choices.length,
    sharedPairs: new Set(choices.flatMap(({ kept: own, sharedAs }) => (own ? [] : (sharedAs ?? [])))).size,
    layers: [...layers.values()],
  };
}

/** The choice in one sentence. */
export function choiceSentence({ kept, total, sharedPairs }: ChosenModules): string {
  const own = plural(
    kept,
    '1 of {1} modules has a pair of its own',
    '{0} of {1} modules have pairs of their own',
    total,
  );
  if (sharedPairs === 0) return `${own}.`;
  return `${own}; ${plural(sharedPairs, 'the others share 1 pair', 'the others share {0} pairs')}.`;
}
