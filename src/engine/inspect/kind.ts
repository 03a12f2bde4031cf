// What lies at a path, judged by names and a few bytes: an adapter, a checkpoint, a run, a recipe or a dataset.
import { open, readdir, stat } from 'node:fs/promises';
import { basename, dirname, extname, resolve } from 'node:path';
import type { InspectResult } from '../../protocol/trainer';
import { RunError } from '../errors';
import { readError } from '../files/diskErrors';
import { isRun } from '../run/runFolder';

export interface Found {
  kind: InspectResult['kind'];
  /** Absolute; the folder where the file given is a part of one. */
  path: string;
}

const expected =
  'expected an adapter (adapter_config.json), a checkpoint (config.json and safetensors), a run, a recipe (*.lora.yaml) or a dataset (jsonl, json, csv, tsv, parquet, txt)';

/** @throws RunError `inspect-missing` or `inspect-unknown`, which say what was expected. */
export async function kindOf(given: string): Promise<Found> {
  const path = resolve(given);
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return undefined;
    throw readError(error, path, RunError, 'inspect');
  });
  if (!info) {
    throw new RunError({
      code: 'inspect-missing',
      message: `There is nothing at ${path}; ${expected}.`,
      remedy: 'Check the path.',
    });
  }
  return info.isDirectory() ? ofFolder(path) : ofFile(path);
}

async function ofFolder(path: string): Promise<Found> {
  const names = await readdir(path).catch((error: unknown) => {
    throw readError(error, path, RunError, 'inspect');
  });
  if (names.includes('adapter_config.json') || names.some((name) => /^adapter_model\./.test(name)))
    return { kind: 'adapter', path };
  if (isRun(path)) return { kind: 'run', path };
  const isModel = (name: string): boolean =>
    name === 'config.json' ||
    name === 'snapshots' ||
    /^model.*\.safetensors(\.index\.json)?$|\.(gguf|pth)$|^pytorch_model/.test(name);
  if (names.some(isModel)) return { kind: 'checkpoint', path };
  // Whose format it is, or what is missing, is told by the adapter's reader.
  if (names.some((name) => name.endsWith('.safetensors'))) return { kind: 'adapter', path };
  for (const name of names) {
    const inside = await readdir(resolve(path, name)).catch((): string[] => []);
    if (inside.includes('adapter_config.json')) return { kind: 'adapter', path };
  }
  throw new RunError({
    code: 'inspect-unknown',
    message: `${path} ${names.length === 0 ? 'is empty' : `holds ${names.slice(0, 5).join(', ')}${names.length > 5 ? ', …' : ''}`}; ${expected}.`,
    remedy: 'Give one of these.',
  });
}

async function ofFile(path: string): Promise<Found> {
  const name = basename(path);
  const folder = dirname(path);
  if (/^adapter_(config\.json|model\.)/.test(name)) return { kind: 'adapter', path: folder };
  if (/^events\.jsonl$|^trainer_state\.json$/.test(name) && isRun(folder))
    return { kind: 'run', path: folder };
  if (/^(config\.json|model.*\.safetensors(\.index\.json)?)$/.test(name))
    return { kind: 'checkpoint', path: folder };
  const extension = extname(name).toLowerCase();
  if (extension === '.safetensors' || extension === '.bin' || extension === '.pt')
    return { kind: 'adapter', path };
  if (extension === '.gguf') return { kind: 'checkpoint', path };
  if (/\.(yaml|yml)$/.test(name) || /\.lora\.json$/.test(name)) return { kind: 'recipe', path };
  if (extension === '.json' && (await looksLikeRecipe(path))) return { kind: 'recipe', path };
  return { kind: 'dataset', path };
}

/** A JSON object with a model's key at its start; datasets begin with a list or with their rows. */
async function looksLikeRecipe(path: string): Promise<boolean> {
  const handle = await open(path, 'r').catch((error: unknown) => {
    throw readError(error, path, RunError, 'inspect');
  });
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(4096), 0, 4096, 0);
    const text = buffer.subarray(0, bytesRead).toString('utf8');
    return /^\s*\{/.test(text) && /"(model|base_model|model_name_or_path)"\s*:\s*"/.test(text);
  } finally {
    await handle.close();
  }
}
