// From a path that people give to an adapter's folder. What is there instead is said: a model, several adapters, a pickle, the
// adapter of another program. Reads no tensor.
import { readdir, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { inspectSafetensors } from '../checkpoint/safetensors';
import { shownName } from '../checkpoint/safetensorsHeader';
import { AdapterError } from '../errors';
import { recover } from '../files/atomic';
import { namesIn } from '../files/folder';
import { configName, pickleName, weightsName } from './adapterNames';

/** The adapter's folder for a path that people give. Throws AdapterError that says what is there instead. */
export async function locateAdapter(path: string, name?: string): Promise<string> {
  const given = resolve(path);
  const isThere = () => stat(given).catch(() => undefined);
  let found = await isThere();
  if (!found) {
    // A writer killed between its two renames leaves the old folder beside; see files/atomic.
    await recover(given);
    found = await isThere();
  }
  const remedy = `Give the folder that holds ${configName} and ${weightsName}.`;
  if (!found) {
    throw new AdapterError({ code: 'adapter-missing', message: `There is no adapter at ${given}.`, remedy });
  }
  const folder = found.isDirectory() ? given : dirname(given);
  const names = await namesIn(folder, AdapterError, 'adapter-folder');
  if (names.includes(configName) && (name === undefined || name === 'default')) return folder;
  if (!found.isDirectory() && !names.includes(configName)) throw await explainFile(given, remedy);

  const inside = await Promise.all(
    names.map(async (entry) =>
      (await readdir(join(folder, entry)).catch((): string[] => [])).includes(configName) ? [entry] : [],
    ),
  );
  const adapters = inside.flat().sort();
  if (name !== undefined && adapters.includes(name)) return join(folder, name);
  if (name === undefined && adapters.length === 1) return join(folder, adapters[0]!);
  if (adapters.length > 0) {
    throw new AdapterError({
      code: 'adapter-ambiguous',
      message: `${folder} holds ${name === undefined ? 'several adapters' : `no adapter called ${JSON.stringify(name)}`}: ${adapters.slice(0, 20).join(', ')}.`,
      remedy: `Give one of them, for example ${join(folder, adapters[0]!)}.`,
    });
  }
  const weights = names.find((entry) => entry.endsWith('.safetensors') && entry !== 'model.safetensors');
  if (!names.includes('config.json') && weights) throw await explainFile(join(folder, weights), remedy);
  throw new AdapterError({
    code: names.includes('config.json') ? 'model-instead-of-adapter' : 'adapter-config-missing',
    message: names.includes('config.json')
      ? `${folder} holds a model (config.json), not an adapter.`
      : `${folder} has no ${configName}${names.length === 0 ? '; it is empty' : ''}.`,
    remedy: names.includes('config.json')
      ? 'Give it as the model, and an adapter folder as the adapter.'
      : remedy,
  });
}

/** Names by which the adapter files of other programs give themselves away. */
const foreignNames: [RegExp, string][] = [
  [/^(unet|text_encoder|transformer|lora_unet|lora_te)\d*[._:]/, 'a Stable Diffusion or diffusers LoRA'],
  [/\.lora_[ab]$/, 'an MLX adapter'],
  [/\.lora_(up|down)\.weight$/, 'a kohya LoRA'],
];

/** Why a lone safetensors file without adapter_config.json is not read. */
async function explainFile(path: string, remedy: string): Promise<AdapterError> {
  if (path.endsWith('.bin') || path.endsWith('.pt')) return noWeights(dirname(path), [basename(path)]);
  const keys = path.endsWith('.safetensors') ? await keysOf(path) : [];
  const foreign = foreignNames.find(([form]) => keys.some((key) => form.test(key)));
  if (foreign) {
    return new AdapterError({
      code: 'adapter-format-unsupported',
      message: `${path} is ${foreign[1]} (it has the tensor ${shownName(keys.find((key) => foreign[0].test(key))!)}); PEFT adapters of language models are read.`,
      remedy: 'Convert it to PEFT form with the program that made it.',
    });
  }
  return new AdapterError({
    code: 'adapter-config-missing',
    message: `${path} has no ${configName} beside it.`,
    remedy,
  });
}

async function keysOf(path: string): Promise<string[]> {
  return inspectSafetensors(path).then(
    ({ file }) => [...file.tensors.keys()],
    () => [],
  );
}

/** Why a folder without safetensors is not read. */
export function noWeights(folder: string, names: readonly string[]): AdapterError {
  const pickle = names.find((name) => name === pickleName || /\.(bin|pt)$/.test(name));
  return new AdapterError(
    pickle
      ? {
          code: 'pickle-adapter',
          message: `${folder} holds its weights as a pickle (${pickle}), which can run code when it is opened; only ${weightsName} is read.`,
          remedy:
            'Convert it: load the adapter with PEFT and call save_pretrained, which writes safetensors.',
        }
      : {
          code: 'adapter-weights-missing',
          message: `${folder} has ${configName}, but no ${weightsName}.`,
          remedy: 'Finish the download, or save the adapter again.',
        },
  );
}
