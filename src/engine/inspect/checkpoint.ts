// Looks at a checkpoint: what model it is, how its parameters divide, whether tensors and config fit, damaged values.
import { readdir } from 'node:fs/promises';
import type { Problem } from '../../protocol/errors';
import type { InspectedTensor, InspectResult } from '../../protocol/trainer';
import { baseTensors } from '../checkpoint/baseTensors';
import { findNonFinite } from '../checkpoint/finite';
import { type Checkpoint, openCheckpoint } from '../checkpoint/folder';
import { readTensor, type TensorRef } from '../checkpoint/safetensors';
import { shownName } from '../checkpoint/safetensorsHeader';
import { resolveNames } from '../checkpoint/verify';
import { elements } from '../dtype';
import { UserError } from '../errors';
import { type Model, modelTensors } from '../models/architecture';
import { modelFromConfig } from '../models/registry';
import { frobeniusNorm } from './norms';

/** Larger checkpoints are not read through: only their headers are. */
const readBelow = 2 * 2 ** 30;
const readable: readonly TensorRef['dtype'][] = ['F32', 'F16', 'BF16', 'F64'];

/** Problems of single tensors are listed; files that cannot be read at all raise their CheckpointError. */
export async function inspectCheckpoint(path: string): Promise<InspectResult> {
  const checkpoint = await openCheckpoint(path);
  const problems: Problem[] = [];
  const model = collecting(problems, checkpoint, () => modelFromConfig(checkpoint.config));
  if (model) collecting(problems, checkpoint, () => baseTensors(checkpoint, model));
  const names = await readdir(checkpoint.folder);
  if (!names.includes('tokenizer.json')) {
    problems.push({
      where: checkpoint.folder,
      message: 'has no tokenizer.json',
      remedy: "Take tokenizer.json from the model's page; without it nothing can be trained or generated.",
    });
  }
  const { tensors, packed, totalBytes } = checkpoint;
  const whole = totalBytes <= readBelow;
  // Weights in four bits count as the weights that they are; what tells how to read them are no parameters.
  const companions = new Set([...packed.values()].flatMap((weight) => weight.companions));
  const own = [...tensors.values()].filter(({ name }) => !companions.has(name));
  const typeOf = ({ name, dtype }: TensorRef): string => packed.get(name)?.quantType.toUpperCase() ?? dtype;
  const countOf = ({ name, shape }: TensorRef): number => elements(packed.get(name)?.shape ?? shape);
  const parameters = own.reduce((sum, ref) => sum + countOf(ref), 0);
  const listed: InspectedTensor[] = [];
  for (const ref of own) {
    const weight = packed.get(ref.name);
    listed.push(
      weight
        ? { name: ref.name, dtype: typeOf(ref), shape: weight.shape, norm: null }
        : await look(ref, whole, problems),
    );
  }
  const dtypes = [...new Set(own.map(typeOf))].join(', ');
  return {
    kind: 'checkpoint',
    path: checkpoint.folder,
    summary: `${checkpoint.modelType} checkpoint, ${parameters} parameters, ${dtypes}`,
    facts: {
      model_type: checkpoint.modelType,
      supported: model !== undefined,
      parameters,
      ...(model ? partsOf(checkpoint, model, new Map(own.map((ref) => [ref, countOf(ref)]))) : {}),
      dtype: dtypes,
      bytes: totalBytes,
      files: checkpoint.files.length,
      ...(model
        ? {
            layers: model.layers,
            hidden_size: model.hiddenSize,
            heads: model.heads,
            key_value_heads: model.keyValueHeads,
            vocabulary: model.vocabularySize,
            context: model.maxPositions,
            tied_embeddings: model.tied,
            default_targets: model.defaultTargets.join(', '),
          }
        : {}),
      values: whole ? 'all read' : 'not read: the checkpoint is larger than 2 GiB',
    },
    tensors: listed,
    problems,
  };
}

/** Runs a check and keeps its problems instead of raising them. */
function collecting<T>(problems: Problem[], { folder }: Checkpoint, check: () => T): T | undefined {
  try {
    return check();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { message, remedy } = error;
    problems.push(...(error.problems.length > 0 ? error.problems : [{ where: folder, message, remedy }]));
    return undefined;
  }
}

/** Parameters by the kind of module that uses them, by tensor in `counts`; a tied head counts with the embeddings. */
function partsOf(
  checkpoint: Checkpoint,
  model: Model,
  counts: ReadonlyMap<TensorRef, number>,
): Record<string, number> {
  const resolved = resolveNames(checkpoint.tensors, modelTensors(model), model.basePrefix);
  const count = (belongs: (name: string) => boolean): number =>
    [...resolved].reduce((sum, [name, ref]) => sum + (belongs(name) ? (counts.get(ref) ?? 0) : 0), 0);
  const paths = (wanted: (module: Model['modules'][number]) => boolean) =>
    new Set(model.modules.filter(wanted).map((module) => module.path));
  const norms = paths(({ kind }) => kind === 'rmsnorm' || kind === 'layernorm');
  const embeddings = paths(({ kind }) => kind === 'embedding');
  const ofModule = (modules: ReadonlySet<string>) => (name: string) =>
    modules.has(name.slice(0, name.lastIndexOf('.')));
  return {
    'parameters of embeddings': count(ofModule(embeddings)),
    'parameters of attention': count((name) => /\.(self_attn|attn)\./.test(name) && !ofModule(norms)(name)),
    'parameters of mlp': count((name) => /\.mlp\./.test(name)),
    'parameters of norms': count(ofModule(norms)),
    'parameters of head': model.tied ? 0 : count(ofModule(new Set([model.head.path]))),
  };
}

async function look(ref: TensorRef, whole: boolean, problems: Problem[]): Promise<InspectedTensor> {
  const { name, dtype, shape } = ref;
  if (!whole || !readable.includes(dtype)) return { name, dtype, shape, norm: null };
  const values = await readTensor(ref);
  const bad = findNonFinite(values);
  if (!bad) return { name, dtype, shape, norm: frobeniusNorm(values) };
  problems.push({
    where: shownName(name),
    message: `holds ${bad.nan} NaN and ${bad.infinite} infinite values, the first at element ${bad.firstIndex}`,
    remedy: 'Download the checkpoint again, or take one from before the training went wrong.',
  });
  return { name, dtype, shape, norm: null };
}
