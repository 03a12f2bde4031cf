// The call `diff`: what sets adapters apart: settings, how far each moved every module, how alike their updates are. Reads
// the adapters' files alone.

import { join } from 'node:path';
import type { DiffParams, DiffResult, EngineHost } from '../../protocol/trainer';
import { type AdapterFolder, readAdapterFolder } from '../adapters/peftFile';
import { settingsOfPeft } from '../adapters/settings';
import { fingerprintIn } from '../checkpoint/fingerprint';
import { findNonFinite } from '../checkpoint/finite';
import { RecipeError } from '../errors';
import { type ModuleForm, moduleForms } from '../inspect/forms';
import { productNorm } from '../inspect/norms';
import { similarity } from '../inspect/similarity';

/** Compares two or more adapters. Raises AdapterError for one that cannot be read. */
export async function diff({ adapters }: DiffParams, host: EngineHost): Promise<DiffResult> {
  if (adapters.length < 2)
    throw new RecipeError({
      code: 'usage',
      message: `Comparing takes two adapters or more, found ${adapters.length}.`,
      remedy: 'Give the folders of the adapters.',
    });
  const opened: (AdapterFolder & { forms: Map<string, ModuleForm>; base: string | undefined })[] = [];
  for (const path of adapters) {
    const file = await readAdapterFolder(path, { acceptsBaseChange: true });
    const forms = moduleForms(settingsOfPeft(file.config, []), file.tensors);
    const base = await fingerprintIn(join(file.folder, 'adapter_model.safetensors'));
    opened.push({ ...file, forms, base });
  }
  const paths = [...new Set(opened.flatMap(({ forms }) => [...forms.keys()]))];
  const modules: DiffResult['modules'][number][] = [];
  for (const path of paths) {
    const own = await Promise.all(
      opened.map(async ({ forms }) => {
        const form = await forms.get(path)?.read();
        return form === undefined || findNonFinite(form.a) || findNonFinite(form.b) ? undefined : form;
      }),
    );
    modules.push({
      path,
      ranks: opened.map(({ forms }) => forms.get(path)?.rank ?? null),
      norms: own.map((form) => (form === undefined ? null : productNorm(form.b, form.a, form.rank))),
      pairs: pairsOf(adapters.length).map(([first, second]) => {
        const [one, other] = [own[first], own[second]];
        const fit =
          one !== undefined &&
          other !== undefined &&
          String(opened[first]!.forms.get(path)!.shape) === String(opened[second]!.forms.get(path)!.shape);
        return { first, second, ...(fit ? similarity(one, other) : { cosine: null, a: null, b: null }) };
      }),
    });
    host.emit({
      type: 'progress',
      phase: 'merging',
      message: 'Comparing the adapters',
      fraction: modules.length / paths.length,
      time: new Date().toISOString(),
    });
  }
  return {
    adapters: opened.map(({ folder, forms }) => ({ folder, modules: forms.size })),
    settings: differences([
      ...opened.map(({ config, base }) => ({ ...config, base_model_fingerprint: base ?? null })),
    ]),
    modules,
  };
}

function pairsOf(count: number): [number, number][] {
  return Array.from({ length: count }, (_, i) =>
    Array.from({ length: count - i - 1 }, (_, j): [number, number] => [i, i + 1 + j]),
  ).flat();
}

/** Settings in which the configurations are not all the same, as text. */
function differences(configs: readonly object[]): { key: string; values: string[] }[] {
  const keys = [...new Set(configs.flatMap((config) => Object.keys(config)))].sort();
  const shown = (value: unknown): string =>
    value === undefined || value === null ? '' : typeof value === 'string' ? value : JSON.stringify(value);
  return keys.flatMap((key) => {
    const values = configs.map((config) => shown((config as Record<string, unknown>)[key]));
    return new Set(values).size > 1 ? [{ key, values }] : [];
  });
}
