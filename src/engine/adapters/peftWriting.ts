// Writes PEFT adapter folders, whole or not at all, with our own state and the single tasks' adapters beside PEFT's files.
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { fingerprintKey, fingerprintOfBase } from '../checkpoint/fingerprint';
import { writeSafetensors } from '../checkpoint/safetensors';
import { AdapterError } from '../errors';
import { type FileOperations, writeFolderAtomic } from '../files/atomic';
import type { JsonObject } from '../files/json';
import {
  cardName,
  configName,
  knownSideFiles,
  nativeStateName,
  nativeWeightsName,
  pickleName,
  taskFolderName,
  weightsName,
} from './adapterNames';
import { type ModelCard, writeModelCard } from './modelCard';
import { type PeftConfig, writePeftConfig } from './peftConfig';

/** What a folder says besides PEFT's files: our own settings and tensors, which PEFT ignores. */
export interface NativeFiles {
  state: JsonObject;
  tensors: AdapterToWrite['tensors'];
}

export interface AdapterToWrite {
  /** Of a type that PEFT does not have for a method without PEFT form; `tensors` is then empty. */
  config: PeftConfig | { peft_type: string; base_model_name_or_path: string | null };
  /** Names as PEFT writes them (`tensorName`); float32. */
  tensors: readonly {
    name: string;
    shape: readonly number[];
    data: Float32Array | (() => Promise<Float32Array>);
  }[];
  native?: NativeFiles;
  card?: ModelCard;
  unknownKeys?: JsonObject;
  /** Adapters of single tasks, each in a folder inside (`taskFolder`). */
  parts?: ReadonlyMap<string, Pick<AdapterToWrite, 'config' | 'tensors'>>;
  /** Further files, such as `engine_state.json`, which PEFT ignores. */
  sideFiles?: Readonly<Record<string, string | Uint8Array>>;
}

/**
 * Writes an adapter folder, whole or not at all; its parent must exist. An adapter there is replaced; a folder with other
 * things in it is refused with AdapterError. Throws RunError for the disk's failures.
 */
export async function writeAdapterFolder(
  folder: string,
  adapter: AdapterToWrite,
  fs?: FileOperations,
): Promise<void> {
  const target = resolve(folder);
  const sideFiles = Object.entries(adapter.sideFiles ?? {});
  const ours = [
    configName,
    weightsName,
    pickleName,
    cardName,
    nativeStateName,
    nativeWeightsName,
    ...knownSideFiles,
    ...sideFiles.map(([name]) => name),
  ];
  const strangers = (await readdir(target).catch(() => [])).filter(
    (name) => !ours.includes(name) && !taskFolderName.test(name),
  );
  if (strangers.length > 0) {
    throw new AdapterError({
      code: 'adapter-folder-in-use',
      message: `${target} holds other things, which writing an adapter there would remove: ${strangers.slice(0, 5).join(', ')}.`,
      remedy: 'Choose a new or an empty folder.',
    });
  }
  const { config, card } = adapter;
  await writeFolderAtomic(
    target,
    async (temporary) => {
      await writeFile(
        join(temporary, cardName),
        writeModelCard(card ?? { baseModel: config.base_model_name_or_path }),
      );
      await writeAdapterFiles(temporary, adapter, fs);
      for (const [name, part] of adapter.parts ?? []) {
        await mkdir(join(temporary, name));
        await writeAdapterFiles(join(temporary, name), part, fs);
      }
    },
    fs,
  );
}

/** Puts an adapter's own files into an open folder, such as a checkpoint's. The weights tell of which base they are. */
export async function writeAdapterFiles(
  folder: string,
  {
    config,
    tensors,
    native,
    unknownKeys,
    sideFiles,
  }: Pick<AdapterToWrite, 'config' | 'tensors' | 'native' | 'unknownKeys' | 'sideFiles'>,
  fs?: FileOperations,
): Promise<void> {
  const base = await fingerprintOfBase(config.base_model_name_or_path);
  const metadata = { format: 'pt', ...(base === undefined ? {} : { [fingerprintKey]: base }) };
  const write = (name: string, list: AdapterToWrite['tensors']): Promise<void> =>
    writeSafetensors(
      join(folder, name),
      list.map((tensor) => ({ ...tensor, dtype: 'F32' as const })),
      metadata,
      fs,
    );
  await writeFile(join(folder, configName), writePeftConfig(config, unknownKeys));
  for (const [name, content] of Object.entries(sideFiles ?? {})) await writeFile(join(folder, name), content);
  if (native) {
    await writeFile(join(folder, nativeStateName), `${JSON.stringify(native.state, null, 2)}\n`);
    await write(nativeWeightsName, native.tensors);
  }
  if (tensors.length > 0) await write(weightsName, tensors);
}
