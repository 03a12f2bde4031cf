// Words in modules_to_save that stand for modules of any family, as all-linear does in target_modules. PEFT does not know them,
// so that they are written out before anything is planned or saved.
import type { Model } from '../models/architecture';
import type { AdapterSettings } from './settings';

const words: Readonly<Record<string, (module: Model['modules'][number]) => boolean>> = {
  'all-norms': ({ kind }) => kind === 'rmsnorm' || kind === 'layernorm',
  'all-embeddings': (module) => module.kind === 'embedding' && module.tokens,
};

/** The settings with the names of the model's modules in place of words; the same object where there are none. */
export function writtenOut(settings: AdapterSettings, model: Model): AdapterSettings {
  // Full fine-tuning has no such setting.
  const { modules_to_save: given = [] } = settings;
  if (!given.some((name) => Object.hasOwn(words, name))) return settings;
  const names = given.flatMap((name) =>
    Object.hasOwn(words, name)
      ? model.modules.filter(words[name]!).map(({ path }) => path.slice(path.lastIndexOf('.') + 1))
      : [name],
  );
  return { ...settings, modules_to_save: [...new Set(names)] };
}
