// Opens a Hugging Face checkpoint folder: config and where every tensor lies, in one file or many shards. Reads no weights and knows no model family.
import { join } from 'node:path';
import type { Problem } from '../../protocol/errors';
import { CheckpointError, raiseProblems } from '../errors';
import { namesIn } from '../files/folder';
import { isJsonObject, type JsonObject, nameOf, readJsonObject } from '../files/json';
import { explainFolder, locateCheckpoint } from './locate';
import { type PackedTensor, packedTensors } from './packed';
import {
  inspectSafetensors,
  readSafetensors,
  type SafetensorsFile,
  shorten,
  type TensorRef,
} from './safetensors';
import { shownName } from './safetensorsHeader';

export interface Checkpoint {
  folder: string;
  /** config.json as it stands. */
  config: JsonObject;
  modelType: string;
  tensors: Map<string, TensorRef>;
  /** Weights in bitsandbytes' four bits, by the name of their codes among the tensors. */
  packed: ReadonlyMap<string, PackedTensor>;
  /** The safetensors files, absolute. */
  files: string[];
  /** Size of all tensors, in bytes. */
  totalBytes: number;
  /** generation_config.json, when there is one. */
  generationConfig?: JsonObject;
}

const single = 'model.safetensors';
const index = 'model.safetensors.index.json';

/**
 * Opens the checkpoint at `path`: its folder, a file in it, a hub snapshot or a hub cache folder. Throws one
 * CheckpointError that lists everything wrong with the files.
 */
export async function openCheckpoint(path: string): Promise<Checkpoint> {
  const folder = await locateCheckpoint(path);
  const names = await namesIn(folder, CheckpointError, 'checkpoint-folder');
  const hasWeights = names.includes(single) || names.includes(index);
  if (!hasWeights && (!names.includes('config.json') || names.includes('adapter_config.json'))) {
    throw explainFolder(folder, names);
  }
  const config = await readJsonObject(join(folder, 'config.json'), {
    ErrorClass: CheckpointError,
    prefix: 'config',
    remedy: "Take config.json again from the model's page.",
  });
  const modelType = config.model_type;
  if (typeof modelType !== 'string' || modelType === '') {
    throw new CheckpointError({
      code: 'config-no-model-type',
      message: `${join(folder, 'config.json')}: model_type is ${nameOf(modelType)}; expected a name such as "llama".`,
      remedy: "Take config.json again from the model's page; it must be that of a transformers model.",
    });
  }
  if (!hasWeights) throw explainFolder(folder, names);
  // One whole file wins over an index beside it, as in transformers.
  const files = names.includes(single)
    ? [await readSafetensors(join(folder, single))]
    : await openShards(folder);
  const tensors = new Map(files.flatMap((file) => [...file.tensors]));
  return {
    folder,
    config,
    modelType,
    tensors,
    packed: await packedTensors(tensors),
    files: files.map((file) => file.path),
    totalBytes: [...tensors.values()].reduce((sum, ref) => sum + ref.bytes, 0),
    ...(await readGenerationConfig(folder, names)),
  };
}

async function readGenerationConfig(
  folder: string,
  names: string[],
): Promise<Pick<Checkpoint, 'generationConfig'>> {
  if (!names.includes('generation_config.json')) return {};
  return {
    generationConfig: await readJsonObject(join(folder, 'generation_config.json'), {
      ErrorClass: CheckpointError,
      prefix: 'generation-config',
      remedy: "Take generation_config.json again from the model's page, or remove it.",
    }),
  };
}

async function openShards(folder: string): Promise<SafetensorsFile[]> {
  const indexPath = join(folder, index);
  const json = await readJsonObject(indexPath, {
    ErrorClass: CheckpointError,
    prefix: 'shard-index',
    remedy: 'Download the index file again.',
    maxBytes: 100 * 2 ** 20,
  });
  const shardOf = readWeightMap(json.weight_map, indexPath);
  const shards: SafetensorsFile[] = [];
  const problems: (Problem & { code: string })[] = [];
  for (const shard of new Set(shardOf.values())) {
    const path = join(folder, shard);
    const report = (where: string, message: string, code: string, remedy: string) =>
      problems.push({ where, message, code, remedy });
    try {
      const { file, problems: inFile, code, remedy } = await inspectSafetensors(path);
      for (const problem of inFile) problems.push({ remedy, ...problem, code });
      shards.push(file);
      if (inFile.length > 0) continue;
      // The index decides where a tensor is read; a second copy in another shard is passed over.
      for (const name of file.tensors.keys()) {
        if ((shardOf.get(name) ?? shard) !== shard) file.tensors.delete(name);
      }
      for (const [name, expected] of shardOf) {
        if (expected === shard && !file.tensors.has(name)) {
          report(
            path,
            `lacks ${shownName(name)}, which the index places there`,
            'shard-lacks-tensor',
            'Download index and shards again; they belong to different versions.',
          );
        }
      }
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error;
      const missing = error.code === 'checkpoint-file-missing';
      report(
        path,
        missing ? 'is missing' : error.message,
        missing ? 'shard-missing' : error.code,
        missing ? 'Download the missing shards.' : error.remedy,
      );
    }
  }
  const codes = new Set(problems.map((problem) => problem.code));
  raiseProblems(
    CheckpointError,
    codes.size === 1 ? [...codes][0]! : 'shards-broken',
    `The shards of ${folder} are not complete:`,
    shorten(
      problems.map(({ where, message, remedy }) => ({ where, message, remedy })),
      200,
    ),
    codes.size > 1 ? 'Download the listed files again.' : undefined,
  );
  return shards;
}

/** Tensor name → file name, each of which must be a plain name in the same folder. */
function readWeightMap(value: unknown, path: string): Map<string, string> {
  if (!isJsonObject(value) || Object.keys(value).length === 0) {
    throw new CheckpointError({
      code: 'shard-index-broken',
      message: `${path}: weight_map is ${nameOf(value)}; expected an object from tensor names to file names.`,
      remedy: 'Download the index file again.',
    });
  }
  const problems: Problem[] = [];
  const map = new Map<string, string>();
  for (const [name, file] of Object.entries(value)) {
    if (typeof file === 'string' && /^[^\\/:\0]+\.safetensors$/.test(file)) map.set(name, file);
    else {
      problems.push({
        where: `${path}, ${shownName(name)}`,
        message: `is placed in ${nameOf(file)}; expected the name of a safetensors file in the same folder`,
      });
    }
  }
  raiseProblems(
    CheckpointError,
    'shard-index-broken',
    'The index of the shards is broken:',
    shorten(problems),
    'Download the index file again.',
  );
  return map;
}
