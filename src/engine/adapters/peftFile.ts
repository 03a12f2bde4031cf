// Reads PEFT adapter folders: adapter_config.json and adapter_model.safetensors. Knows names and ranks, not the base model.
import { dirname, join } from 'node:path';
import type { Problem } from '../../protocol/errors';
import { inspectSafetensors, readTensor, shorten, type TensorRef } from '../checkpoint/safetensors';
import { shownName } from '../checkpoint/safetensorsHeader';
import { AdapterError, CheckpointError, raiseProblems } from '../errors';
import { namesIn } from '../files/folder';
import { isJsonObject, type JsonObject, readJsonObject } from '../files/json';
import { locateAdapter, noWeights } from './adapterLocation';
import { configName, weightsName } from './adapterNames';
import { loftqBits as loftqBitsHere } from './initialisations/loftq';
import { baseChangeOf, type PeftConfig, parsePeftConfig } from './peftConfig';
import { normalName } from './peftNames';
import { tensorProblems } from './peftTensors';

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
