// Finds the folder of a checkpoint from whatever path a person gives: the folder, a file in it, or the hub's cache. Reads no weights.
import { readFile, stat } from 'node:fs/promises';
import { homedir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { CheckpointError } from '../errors';
import { namesIn } from '../files/folder';

async function isFolder(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/** The snapshot of a hub cache folder (`models--org--name`): the one refs/main names, else the only one. */
async function snapshotOf(cache: string): Promise<string> {
  const names = await namesIn(join(cache, 'snapshots'), CheckpointError, 'checkpoint-folder');
  const main = await readFile(join(cache, 'refs', 'main'), 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
  // The name comes from a file: only a name that is really listed may become part of a path.
  if (main !== undefined && names.includes(main)) return join(cache, 'snapshots', main);
  if (main === undefined && names.length === 1) return join(cache, 'snapshots', names[0]!);
  throw new CheckpointError({
    code: 'hub-cache-incomplete',
    message:
      names.length === 0
        ? `${cache} is a hub cache folder without a snapshot.`
        : `${cache} is a hub cache folder whose refs/main ${main === undefined ? 'is missing' : `names ${JSON.stringify(main.slice(0, 80))}`}; its snapshots are ${names.slice(0, 10).join(', ')}.`,
    remedy:
      names.length === 0
        ? 'Download the model again.'
        : `Give one of them by its full path, for example ${join(cache, 'snapshots', names[0]!)}.`,
  });
}

/** If `path` looks like a hub name ("org/name"), the folder where the hub's cache has it. */
async function cachedUnder(path: string): Promise<string | undefined> {
  if (!/^[\w.-]+\/[\w.-]+$/.test(path)) return undefined;
  const home = process.env.HF_HOME ?? join(homedir(), '.cache', 'huggingface');
  const cache = join(process.env.HF_HUB_CACHE ?? join(home, 'hub'), `models--${path.replace('/', '--')}`);
  return (await isFolder(cache)) ? cache : undefined;
}

/**
 * The folder with config.json that `path` means. Symlinks are kept as they are, because in a hub cache a file's real
 * path says nothing. Throws CheckpointError when there is nothing, or a single file of another kind.
 */
export async function locateCheckpoint(path: string): Promise<string> {
  const given = resolve(path);
  const found = await stat(given).catch(() => undefined);
  if (!found) {
    const cached = await cachedUnder(path);
    const remedy = cached
      ? `Give ${cached}, where the hub's cache holds that model.`
      : /^[\w.-]+\/[\w.-]+$/.test(path)
        ? `If ${path} is a name on the hub, download it first (hf download ${path}) and give its folder.`
        : 'Give the folder that holds config.json and model.safetensors.';
    throw new CheckpointError({
      code: 'checkpoint-missing',
      message: `There is no checkpoint at ${given}.`,
      remedy,
    });
  }
  if (!found.isDirectory()) {
    if (given.toLowerCase().endsWith('.gguf')) throw ggufError(given);
    if (/\.(safetensors|json|bin|pth?|ckpt|h5|msgpack|onnx)$/i.test(given)) return dirname(given);
    throw new CheckpointError({
      code: 'checkpoint-not-a-folder',
      message: `${given} is a file and no part of a checkpoint.`,
      remedy: 'Give the folder that holds config.json and model.safetensors.',
    });
  }
  const names = await namesIn(given, CheckpointError, 'checkpoint-folder');
  if (names.includes('snapshots') && !names.includes('config.json')) return snapshotOf(given);
  if (basename(given) === 'snapshots' && !names.includes('config.json')) return snapshotOf(dirname(given));
  return given;
}

function ggufError(path: string): CheckpointError {
  return new CheckpointError({
    code: 'gguf-file',
    message: `${path} is a GGUF file; its weights are packed for inference.`,
    remedy: 'Use the original safetensors checkpoint that the GGUF was made from.',
  });
}

/** Why a folder is no checkpoint, judged by what lies in it: adapters, pickles, GGUF, nothing. */
export function explainFolder(folder: string, names: readonly string[]): CheckpointError {
  const ends = (suffix: string) => names.find((name) => name.toLowerCase().endsWith(suffix));
  const error = (code: string, message: string, remedy: string) =>
    new CheckpointError({ code, message, remedy });
  if (names.length === 0) {
    return error(
      'checkpoint-empty',
      `${folder} is empty.`,
      'Download the model into it, or give another folder.',
    );
  }
  if (names.includes('adapter_config.json')) {
    return error(
      'adapter-instead-of-model',
      `${folder} holds an adapter (adapter_config.json), not a model.`,
      'Give the base model as the model, and this folder as the adapter.',
    );
  }
  const pickle = names.find((name) =>
    /^(pytorch_model.*|consolidated.*|model)\.(bin|pth|pt|ckpt)(\.index\.json)?$/.test(name),
  );
  if (pickle) {
    return error(
      'pickle-checkpoint',
      `${folder} holds its weights as a pickle (${pickle}), which can run code when it is opened; only safetensors are read.`,
      'Convert it to safetensors (load it with transformers and call save_pretrained), or download the safetensors version.',
    );
  }
  const gguf = ends('.gguf');
  if (gguf) return ggufError(join(folder, gguf));
  const other = ends('.h5') ?? ends('.msgpack') ?? ends('.onnx');
  if (other) {
    return error(
      'checkpoint-format-unsupported',
      `${folder} holds its weights as ${other}; only safetensors are read.`,
      'Download the safetensors version of the model.',
    );
  }
  const partial = ends('.incomplete') ?? ends('.crdownload') ?? ends('.part');
  return error(
    'checkpoint-no-weights',
    `${folder} has neither model.safetensors nor model.safetensors.index.json${partial ? `; ${partial} looks like an unfinished download` : ''}.`,
    partial ? 'Finish the download.' : 'Give the folder that holds the weights, or download them into it.',
  );
}
