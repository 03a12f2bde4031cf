// The start of a run that goes on from an adapter (`adapter_name_or_path`): its tensors in place of start values, with a fresh
// optimizer. Comes in: the run's plan and a folder. Goes out: values, or every difference between the two at once.
import type { Problem } from '../../protocol/errors';
import { type LoadedAdapter, loadAdapter } from '../adapters/loaded';
import { loraScaling } from '../adapters/lora';
import { type AdapterPlan, tensorsOfSite } from '../adapters/plan';
import { hasLoraForm, type Site } from '../adapters/variant';
import { AdapterError, raiseProblems } from '../errors';
import type { Model } from '../models/architecture';

/** Names that a message lists; more are counted. */
const named = 3;

/**
 * Values by tensor name, for everything that the adapter's file holds. Throws AdapterError `adapter-differs` where the run
 * would train something else than that adapter.
 */
export async function continuedValues(
  path: string,
  model: Model,
  plan: AdapterPlan,
): Promise<ReadonlyMap<string, Float32Array>> {
  const adapter = recognised(await loadAdapter(path, model), plan);
  raiseProblems(
    AdapterError,
    'adapter-differs',
    `The recipe and ${adapter.folder}, from which it goes on, differ:`,
    differences(adapter, plan),
    'Give the settings that the adapter was trained with, or leave adapter_name_or_path out.',
  );
  const unstored = new Set(plan.tensors.filter((tensor) => tensor.unstored).map(({ name }) => name));
  return new Map([...adapter.values].filter(([name]) => !unstored.has(name)));
}

/** A plain LoRA as what the run's method exported it from, where it can have. */
function recognised(adapter: LoadedAdapter, here: AdapterPlan): LoadedAdapter {
  const { plan: there, values } = adapter;
  if (there.variant.id === here.variant.id || there.variant.peft?.type !== 'LORA') return adapter;
  const own = here.variant.fromLora?.([...here.sites.values()], values, here.settings);
  if (!own) return adapter;
  const settings = { ...there.settings, adapter: here.settings.adapter, settings: here.settings.settings };
  return { ...adapter, plan: { ...there, variant: here.variant, settings }, values: own };
}

function differences({ plan: there, values }: LoadedAdapter, here: AdapterPlan): Problem[] {
  const problems: Problem[] = [];
  const report = (where: string, message: string): void => {
    problems.push({ where, message });
  };
  const alike = there.variant.id === here.variant.id || sameFile(there, here);
  if (!alike) report('adapter', `is ${there.variant.id} there and ${here.variant.id} here`);

  const only = (one: Iterable<string>, other: { has(name: string): boolean }): string[] =>
    [...one].filter((name) => !other.has(name));
  const lists = [
    ['target_modules', there.sites, here.sites],
    ['modules_to_save or bias', there.replaced, here.replaced],
  ] as const;
  for (const [where, before, now] of lists) {
    const [lost, added] = [only(before.keys(), now), only(now.keys(), before)];
    if (lost.length > 0) report(where, `leaves out ${some(lost)}, which the adapter has`);
    if (added.length > 0) report(where, `takes in ${some(added)}, which the adapter has not`);
  }

  const shared = [...here.sites.values()].flatMap((site) => {
    const before = there.sites.get(site.path);
    return before ? [{ before, site }] : [];
  });
  const ranks = new Map<string, string[]>();
  for (const { before, site } of shared)
    if (before.r !== site.r) push(ranks, `is ${before.r} there and ${site.r} here`, site.path);
  for (const [message, paths] of ranks) report('r', `${message} (${some(paths)})`);
  if (!alike || ranks.size > 0) return problems;

  const moved = shared.filter(({ before, site }) => !sameUpdate(there, before, here, site, values));
  if (moved.length > 0) {
    const { settings: a } = there;
    const { settings: b } = here;
    const told = [
      ...(['lora_alpha', 'use_rslora'] as const).map((key) => [key, a[key], b[key]] as const),
      ...here.variant.entry.fields.map(({ key }) => [key, a.settings[key], b.settings[key]] as const),
    ]
      .filter(([, one, other]) => one !== undefined && JSON.stringify(one) !== JSON.stringify(other))
      .map(([key, one, other]) => `${key} is ${JSON.stringify(one)} there and ${JSON.stringify(other)} here`);
    report(
      'settings',
      `would make another update of the same tensors at ${some(moved.map(({ site }) => site.path))}: ${told.join(', ') || 'alpha_pattern differs'}`,
    );
  }
  return problems;
}

/** Methods that PEFT writes alike, such as LoRA and LoRA-FA. */
function sameFile(there: AdapterPlan, here: AdapterPlan): boolean {
  const names = ({ tensors }: AdapterPlan): string =>
    tensors
      .filter((tensor) => !tensor.unstored)
      .map(({ name }) => name.split('.').slice(-2).join('.'))
      .sort()
      .filter((name, i, all) => name !== all[i - 1])
      .join();
  const [a, b] = [there.variant.peft, here.variant.peft];
  return a !== undefined && a.type === b?.type && names(there) === names(here);
}

/** Whether the tensors mean the same under both settings: as LoRA forms where there are some, else by scaling and settings. */
function sameUpdate(
  there: AdapterPlan,
  before: Site,
  here: AdapterPlan,
  site: Site,
  values: ReadonlyMap<string, Float32Array>,
): boolean {
  if (!hasLoraForm(there.variant, there.settings) || !hasLoraForm(here.variant, here.settings)) {
    const own = there.variant.entry.fields.filter(({ type }) => type === 'enum').map(({ key }) => key);
    return (
      loraScaling(before, there.settings) === loraScaling(site, here.settings) &&
      own.every((key) => there.settings.settings[key] === here.settings.settings[key])
    );
  }
  const tensors = tensorsOfSite(values, site);
  const one = there.variant.loraForm!(before, tensors, there.settings);
  const other = here.variant.loraForm!(site, tensors, here.settings);
  const near = (a: Float32Array, b: Float32Array): boolean =>
    a.length === b.length && a.every((x, i) => Math.abs(x - b[i]!) <= 1e-6 * Math.abs(x));
  return near(one.a, other.a) && near(one.b, other.b);
}

function push(lists: Map<string, string[]>, key: string, item: string): void {
  lists.set(key, [...(lists.get(key) ?? []), item]);
}

function some(paths: readonly string[]): string {
  const more = paths.length - named;
  return `${paths.slice(0, named).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}
