// Reads and writes PEFT adapter folders: adapter_config.json and adapter_model.safetensors. Knows names and ranks, not the base model.
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { Problem } from '../../protocol/errors';
import { fingerprintKey, fingerprintOfBase } from '../checkpoint/fingerprint';
import {
  inspectSafetensors,
  readTensor,
  shorten,
  type TensorRef,
  writeSafetensors,
} from '../checkpoint/safetensors';
import { shownName } from '../checkpoint/safetensorsHeader';
import { AdapterError, CheckpointError, raiseProblems } from '../errors';
import { type FileOperations, recover, writeFolderAtomic } from '../files/atomic';
import { namesIn } from '../files/folder';
import { isJsonObject, type JsonObject, readJsonObject } from '../files/json';
import { loftqBits as loftqBitsHere } from './initialisations/loftq';
import { matchModules } from './match';
import { type ModelCard, writeModelCard } from './modelCard';
import {
  baseChangeOf,
  type LoraConfig,
  type PeftConfig,
  parsePeftConfig,
  writePeftConfig,
} from './peftConfig';
import { normalName, parseName } from './peftNames';

const configName = 'adapter_config.json';
const weightsName = 'adapter_model.safetensors';
const pickleName = 'adapter_model.bin';
const cardName = 'README.md';
/** Our own settings and tensors beside PEFT's. */
export const nativeStateName = 'engine_state.json';
export const nativeWeightsName = 'engine_state.safetensors';
/** The base's config, where positions were stretched; what a run found out before it trained. */
export const baseConfigName = 'base_config.json';
export const preparationName = 'preparation.json';
const knownSideFiles: readonly string[] = [baseConfigName, preparationName];

/** Folder of one task inside the folder of an adapter of several. @param index counted from 0. */
export const taskFolder = (index: number): string => `task-${index + 1}`;
const taskFolderName = /^task-\d+$/;

export interface AdapterTensor {
  /** As PEFT writes it, without the adapter's name. */
  name: string;
  dtype: TensorRef['dtype'];
  shape: readonly number[];
  ref: TensorRef;
  /** The values as float32, read from disk at each call. */
  read: () => Promise<Float32Array>;
}

export interface AdapterFolder {
  folder: string;
  config: PeftConfig;
  tensors: Map<string, AdapterTensor>;
  unknownKeys: JsonObject;
  /** Full sentences. */
  warnings: string[];
  /** What the base must undergo before the tensors are added to it; `plain` unless asked for. */
  baseChange: 'plain' | 'pissa' | 'olora' | 'loftq';
}

export interface ReadAdapterOptions {
  /** The adapter's name where a folder holds several, each in a folder of its name. */
  name?: string;
  /** The caller can change the base as `baseChange` says; without it such adapters are refused. */
  acceptsBaseChange?: boolean;
}

/**
 * Reads the adapter at `path`: its folder, a file in it, or a folder that holds it in a folder of its name. Tensor data
 * stays on disk. Throws one AdapterError with every problem of the config, or of the tensors.
 */
export async function readAdapterFolder(
  path: string,
  options: ReadAdapterOptions = {},
): Promise<AdapterFolder> {
  const folder = await locateAdapter(path, options.name);
  const names = await namesIn(folder, AdapterError, 'adapter-folder');
  if (!names.includes(weightsName)) throw noWeights(folder, names);
  const json = await readJsonObject(join(folder, configName), {
    ErrorClass: AdapterError,
    prefix: 'adapter-config',
    remedy: 'Save the adapter again, or take adapter_config.json from where the adapter came from.',
  });
  const parsed = parsePeftConfig(json, join(folder, configName));
  const baseChange = allowedBaseChange(parsed.config, folder, options.acceptsBaseChange ?? false);
  const tensors = await readTensors(join(folder, weightsName), options.name, (found) =>
    tensorProblems(found, parsed.config),
  );
  return { folder, ...parsed, tensors, baseChange };
}

/**
 * The tensors of an adapter's weights by their normal names; data stays on disk. Throws one AdapterError with what cannot
 * be read, or with two names for one tensor and what `check` finds.
 */
export async function readTensors(
  path: string,
  adapterName?: string,
  check: (tensors: ReadonlyMap<string, AdapterTensor>) => Problem[] = () => [],
): Promise<Map<string, AdapterTensor>> {
  const { file, problems, code, remedy } = await inspectSafetensors(path).catch(asAdapterError);
  raiseProblems(
    AdapterError,
    code,
    `The weights of the adapter ${dirname(path)} cannot be read:`,
    problems,
    remedy,
  );
  const tensors = new Map<string, AdapterTensor>();
  const clashes: Problem[] = [];
  for (const ref of file.tensors.values()) {
    const name = normalName(ref.name, adapterName);
    if (tensors.has(name))
      clashes.push({
        where: shownName(ref.name),
        message: `and ${shownName(tensors.get(name)!.ref.name)} are the same tensor`,
      });
    tensors.set(name, { name, dtype: ref.dtype, shape: ref.shape, ref, read: () => readTensor(ref) });
  }
  raiseProblems(
    AdapterError,
    'adapter-tensors-invalid',
    `The tensors of ${file.path} do not fit its adapter_config.json:`,
    shorten([...clashes, ...check(tensors)], 200),
    'Save the adapter again with PEFT; config and weights must come from the same run.',
  );
  return tensors;
}

function asAdapterError(error: unknown): never {
  if (error instanceof CheckpointError) throw new AdapterError({ ...error.toReport(), cause: error });
  throw error;
}

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

function noWeights(folder: string, names: readonly string[]): AdapterError {
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

function allowedBaseChange(
  config: PeftConfig,
  folder: string,
  accepts: boolean,
): AdapterFolder['baseChange'] {
  const change = baseChangeOf(config);
  const bits = loftqBits(config);
  if (change === 'loftq' && bits !== loftqBitsHere)
    throw new AdapterError({
      code: 'adapter-needs-changed-base',
      message: `${folder}: loftq_config says loftq_bits: ${JSON.stringify(bits)?.slice(0, 40)}: the tensors fit a base of ${JSON.stringify(bits)?.slice(0, 40)} bits; a base of ${loftqBitsHere} bits is made here.`,
      remedy: 'Merge the adapter into its base with PEFT, or train one with loftq_bits: 4.',
    });
  if (change === 'plain' || (accepts && change !== 'unrepeatable')) return change;
  throw new AdapterError({
    code: 'adapter-needs-changed-base',
    message: `${folder}: init_lora_weights ${JSON.stringify('init_lora_weights' in config && config.init_lora_weights)} means that the tensors fit a base that was ${change === 'loftq' ? 'quantised' : 'changed: the initial product was subtracted'}${change === 'unrepeatable' ? '; that product cannot be computed again from this file' : ''}.`,
    remedy:
      change === 'loftq'
        ? 'Use it with evaluate, generate or merge, which quantise the base alike.'
        : 'Convert it to plain LoRA: in PEFT, save_pretrained with path_initial_model_for_weight_conversion.',
  });
}

/** What a file says of LoftQ's bits; PEFT's default where it says nothing. */
function loftqBits(config: PeftConfig): unknown {
  const own: unknown = 'loftq_config' in config ? config.loftq_config : undefined;
  return isJsonObject(own) ? (own.loftq_bits ?? loftqBitsHere) : loftqBitsHere;
}

/** Pairs, ranks and names, all that can be checked without the base model. */
function tensorProblems(tensors: ReadonlyMap<string, AdapterTensor>, config: PeftConfig): Problem[] {
  const problems: Problem[] = [];
  const report = (name: string, message: string) => problems.push({ where: shownName(name), message });
  const show = (shape: readonly number[]) => `[${shape.join(', ')}]`;
  const ranks = new Map<string, Map<string, { name: string; rank: number }>>();
  let adapted = 0;
  for (const { name, dtype, shape } of tensors.values()) {
    const parsed = parseName(name, config.peft_type);
    if (!parsed) {
      report(
        name,
        config.peft_type === 'LORA'
          ? 'is no name of a LORA tensor; they read "base_model.model.<module>.lora_A.weight"'
          : `is no name of a tensor of ${config.peft_type}`,
      );
      continue;
    }
    if (!['F32', 'F16', 'BF16', 'F64'].includes(dtype))
      report(name, `is ${dtype}; expected F32, F16 or BF16`);
    if (!parsed.parameter) continue;
    adapted++;
    // The other types are compared with what the model plans alone.
    if (config.peft_type !== 'LORA') continue;
    const dims = /bias|magnitude/.test(parsed.parameter) ? 1 : 2;
    if (shape.length !== dims) {
      report(name, `has shape ${show(shape)}; expected ${dims} sizes`);
    } else if (dims === 2) {
      const isA = /_A(\.|$)/.test(parsed.parameter);
      const pair = ranks.get(parsed.module) ?? new Map();
      ranks.set(parsed.module, pair.set(isA ? 'A' : 'B', { name, rank: shape[isA ? 0 : 1]! }));
    } else if (parsed.parameter === 'lora_magnitude_vector' && !config.use_dora) {
      report(name, 'is a DoRA tensor, but use_dora is false');
    }
  }
  if (adapted === 0) report('adapter', `holds no ${config.peft_type} tensor at all`);
  if (config.peft_type !== 'LORA') return problems;
  const expectedRank = ranksByConfig([...ranks.keys()], config);
  for (const [module, pair] of ranks) {
    const [a, b] = [pair.get('A'), pair.get('B')];
    if (!a || !b) {
      report((a ?? b)!.name, `has no lora_${a ? 'B' : 'A'} beside it`);
      continue;
    }
    const expected = expectedRank.get(module);
    if (a.rank !== b.rank) report(b.name, `has rank ${b.rank}, but its lora_A has rank ${a.rank}`);
    else if (a.rank !== expected) report(a.name, `has rank ${a.rank}; adapter_config.json says ${expected}`);
    if (
      config.use_dora &&
      !tensors.has(a.name.replace(/\.lora_(embedding_)?A.*$/, '.lora_magnitude_vector'))
    ) {
      report(a.name, 'has no lora_magnitude_vector beside it, but use_dora is true');
    }
  }
  return problems;
}

function ranksByConfig(paths: string[], config: LoraConfig): Map<string, number> {
  if (paths.length === 0) return new Map();
  const { r, lora_alpha, rank_pattern } = config;
  const modules = paths.map((path) => ({ path, kind: 'linear' as const }));
  const { targets } = matchModules({ r, lora_alpha, rank_pattern, target_modules: paths }, modules);
  return new Map(targets.map((target) => [target.path, target.r]));
}

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
