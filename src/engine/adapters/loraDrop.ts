// LoRA-drop (Zhou et al., arXiv 2402.07721): LoRA in every module learns for some steps on a part of the data; modules whose
// s·B·A·x is large, g_i = mean over tokens of ‖s·BAx‖², keep a pair of their own, the others of a group share one. A group
// has one place in the layer and one shape, so that a pair fits all of it. Sharing is aliasing: the gradient of a shared
// pair is the sum over its members. The file is a plain LoRA, with a shared pair under every member's name.
import { invariant } from '../errors';
import { lora } from './lora';
import type { AdapterSettings } from './settings';
import type { PlannedTensor, Preparation, Site, Variant } from './variant';

/** Modules that may share a pair: same place in the layer, same shape, same rank and scaling. */
export function groupOf({ path, inFeatures, outFeatures, r, alpha }: Site): string {
  const place = path.split('.').slice(-2).join('.').replaceAll('.', '_');
  return `lora_drop.${place}_${inFeatures}x${outFeatures}_r${r}_alpha${alpha}`;
}

/** The name under which a module's pair is planned: its own path, or its group's. */
function pairOf(site: Site, settings: AdapterSettings): string {
  const kept = settings.settings.kept_modules;
  return !Array.isArray(kept) || kept.includes(site.path) ? site.path : groupOf(site);
}

const pairAt = (site: Site, path: string, settings: AdapterSettings): PlannedTensor[] =>
  lora.parameters({ ...site, path }, settings);

export const loraDrop: Variant = {
  id: 'lora_drop',
  entry: {
    id: 'lora_drop',
    label: 'LoRA-drop: pairs of their own where they do most, shared ones elsewhere',
    summary:
      'Learns on a part of the data first, then keeps the modules that change most and lets the others share; about half of the parameters of LoRA. Until then, counts and forecasts are upper bounds.',
    fields: [
      {
        key: 'sample_ratio',
        type: 'number',
        exclusiveMinimum: 0,
        maximum: 1,
        default: 0.1,
        group: 'adapter',
        description: 'Part of the data on which the modules are chosen.',
      },
      {
        key: 'threshold',
        type: 'number',
        exclusiveMinimum: 0,
        maximum: 1,
        default: 0.9,
        group: 'adapter',
        description:
          'Part of the summed importance that the modules with a pair of their own have. 1 is plain LoRA.',
      },
      {
        key: 'warm_steps',
        type: 'integer',
        minimum: 1,
        maximum: 1_000_000,
        default: 20,
        unit: 'optimizer steps',
        group: 'adapter',
        description: 'Steps before the choice, at the full learning rate; they come before all others.',
      },
      {
        key: 'warm_start',
        type: 'boolean',
        default: false,
        group: 'adapter',
        advanced: true,
        description: 'Goes on from what the first steps learned, instead of starting anew.',
      },
      {
        key: 'kept_modules',
        type: 'list',
        items: { type: 'string' },
        default: null,
        group: 'adapter',
        advanced: true,
        description:
          'Whole paths of the modules that keep a pair of their own. Given, nothing is chosen first.',
      },
    ],
    check: ({ init_lora_weights: init }) =>
      typeof init === 'boolean' || init === 'gaussian'
        ? []
        : [
            {
              where: 'init_lora_weights',
              message: `adapter lora_drop shares pairs between modules, and init_lora_weights: ${init} starts each from its own weight.`,
              remedy: 'Set init_lora_weights: true or gaussian.',
            },
          ],
  },
  paper: 'https://arxiv.org/abs/2402.07721',
  traits: { startsAtBase: true, linearInInput: true, additive: true },
  adapts: (module) => module.kind !== 'embedding',

  shared(sites, settings) {
    const first = new Map<string, Site>();
    for (const site of sites) {
      const name = pairOf(site, settings);
      if (name !== site.path && !first.has(name)) first.set(name, site);
    }
    return [...first].flatMap(([name, site]) => pairAt(site, name, settings));
  },

  parameters(site, settings) {
    return pairOf(site, settings) === site.path ? lora.parameters(site, settings) : [];
  },

  apply(c, x, settings) {
    const name = pairOf(c.site, settings);
    if (name === c.site.path) return lora.apply(c, x, settings);
    return lora.apply({ ...c, parameter: (part) => c.parameter(`${name}.${part}`) }, x, settings);
  },

  loraForm(site, tensors, settings) {
    const name = pairOf(site, settings);
    return lora.loraForm!(
      site,
      name === site.path ? tensors : (part) => tensors(`${name}.${part}`),
      settings,
    );
  },

  /** Pairs that are equal to the last bit under every member's name are one pair again; not where a run chooses anew. */
  fromLora(sites, values, settings) {
    if (!Array.isArray(settings.settings.kept_modules)) return undefined;
    const own = new Map(values);
    for (const site of sites) {
      const name = pairOf(site, settings);
      if (name === site.path) continue;
      for (const { name: member } of lora.parameters(site, settings)) {
        const held = values.get(member);
        const shared = `${name}${member.slice(site.path.length)}`;
        const first = own.get(shared) ?? held;
        if (!held || !first || !held.every((x, i) => Object.is(x, first[i]))) return undefined;
        own.delete(member);
        own.set(shared, first);
      }
    }
    return own;
  },

  preparation: {
    phase: ({ settings }) =>
      Array.isArray(settings.kept_modules)
        ? undefined
        : { steps: Number(settings.warm_steps), sampleRatio: Number(settings.sample_ratio) },
    conclude,
  },
};

/** Chooses by the importance of each module within its group. */
function conclude(
  ...[sites, settings, response]: Parameters<Preparation['conclude']>
): ReturnType<Preparation['conclude']> {
  const threshold = Number(settings.settings.threshold);
  const groups = new Map<string, Site[]>();
  for (const site of sites) groups.set(groupOf(site), [...(groups.get(groupOf(site)) ?? []), site]);
  const importances = new Map<string, number>();
  const kept = new Set<string>();
  const carried = new Map<string, string>();
  for (const [name, members] of groups) {
    const shares = importance(members.map(({ path }) => response.get(path) ?? 0));
    for (const [i, { path }] of members.entries()) importances.set(path, shares[i]!);
    const chosen = keptOf(shares, threshold);
    for (const i of chosen) kept.add(members[i]!.path);
    const rest = members.filter((_, i) => !chosen.includes(i));
    const strongest = rest.reduce<Site | undefined>(
      (best, site) => (!best || importances.get(site.path)! > importances.get(best.path)! ? site : best),
      undefined,
    );
    if (strongest && settings.settings.warm_start === true)
      for (const { name: old } of lora.parameters(strongest, settings))
        carried.set(`${name}${old.slice(strongest.path.length)}`, old);
  }
  if (settings.settings.warm_start === true)
    for (const site of sites.filter(({ path }) => kept.has(path)))
      for (const { name } of lora.parameters(site, settings)) carried.set(name, name);
  const pairs = kept.size + new Set(sites.filter(({ path }) => !kept.has(path)).map(groupOf)).size;
  return {
    settings: { kept_modules: sites.map(({ path }) => path).filter((path) => kept.has(path)) },
    message: `LoRA-drop keeps ${kept.size} of ${sites.length} modules at a threshold of ${threshold}; with the shared ones there are ${pairs} pairs. Kept: ${[...kept].join(', ')}.`,
    modules: sites.map((site) => ({
      path: site.path,
      importance: importances.get(site.path)!,
      kept: kept.has(site.path),
      sharedAs: kept.has(site.path) ? null : groupOf(site),
    })),
    carried,
  };
}

/** I_i = g_i/Σg. Where nothing was learned all modules count alike. */
export function importance(g: readonly number[]): number[] {
  const total = g.reduce((sum, x) => sum + x, 0);
  invariant(Number.isFinite(total), 'what modules add is finite');
  return g.map((x) => (total > 0 ? x / total : 1 / g.length));
}

/** Indices kept, in order: the most important ones, until they have `threshold` of all; every one at 1. */
export function keptOf(shares: readonly number[], threshold: number): number[] {
  const order = shares.map((_, i) => i).sort((a, b) => shares[b]! - shares[a]! || a - b);
  const kept: number[] = [];
  let sum = 0;
  for (const i of order) {
    // Rounding decides nothing: 0.7 + 0.2 reach 0.9, and at 1 the last one is kept too.
    if (threshold < 1 && sum >= threshold - 1e-9) break;
    kept.push(i);
    sum += shares[i]!;
  }
  return kept.sort((a, b) => a - b);
}
