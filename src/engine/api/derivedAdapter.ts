// What calls share that make an adapter out of another: opening it for its base, writing the new folder.
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { configForAdapters } from '../adapters/baseConfig';
import { type LoadedAdapter, loadAdapter } from '../adapters/loaded';
import { type AdapterToWrite, writeAdapterFolder } from '../adapters/peftWriting';
import { openCheckpoint } from '../checkpoint/folder';
import { diskError } from '../files/diskErrors';
import { modelFromConfig } from '../models/registry';

/** An adapter that fits the model, and the model's folder. */
export async function openAdapter(
  modelFolder: string,
  adapterFolder: string,
): Promise<{ base: string; adapter: LoadedAdapter }> {
  const checkpoint = await openCheckpoint(modelFolder);
  const config = await configForAdapters(checkpoint.config, [adapterFolder]);
  return { base: checkpoint.folder, adapter: await loadAdapter(adapterFolder, modelFromConfig(config)) };
}

/** Writes an adapter's folder and the folders above it. */
export async function writeDerived(
  out: string,
  files: Pick<AdapterToWrite, 'config' | 'tensors'>,
  base: string,
  facts: readonly (readonly [string, string | number])[],
): Promise<void> {
  try {
    await mkdir(dirname(out), { recursive: true });
  } catch (cause) {
    throw diskError(cause, dirname(out), 'make the folder');
  }
  await writeAdapterFolder(out, { ...files, card: { baseModel: base, settings: facts } });
}
