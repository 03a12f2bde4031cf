// The call `merge`: a checkpoint folder with the adapter's update in its weights, in the base's element types and shards,
// compared with the unmerged model before it takes its place. One tensor is in memory at a time.
import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import type { EngineHost, MergeParams, MergeResult } from '../../protocol/trainer';
import { configForAdapters } from '../adapters/baseConfig';
import { type LoadedAdapter, loadAdapter } from '../adapters/loaded';
import { headTensor, type MergedParameter, type MergePlan, planMerge } from '../adapters/merge';
import { baseTensors } from '../checkpoint/baseTensors';
import { findNonFinite, requireFinite } from '../checkpoint/finite';
import { type Checkpoint, openCheckpoint } from '../checkpoint/folder';
import {
  readRaw,
  readSafetensors,
  readTensor,
  type TensorRef,
  type TensorToWrite,
  writeSafetensors,
} from '../checkpoint/safetensors';
import { AdapterError, invariant, RunError } from '../errors';
import { calledQuantization } from '../execution/baseQuantization';
import { BaseWeights } from '../execution/baseWeights';
import { openDevice } from '../execution/device';
import { Evaluator, uploadParameters } from '../execution/evaluator';
import { WeightUpdater } from '../execution/weightUpdater';
import { writeFolderAtomic } from '../files/atomic';
import { diskError } from '../files/diskErrors';
import { type Model, modelTensors } from '../models/architecture';
import { modelFromConfig } from '../models/registry';
import { Random } from '../random';
import type { Runtime } from '../session';
import { fittedAdapter } from '../train/fittedAdapter';

/** Files of a checkpoint folder that describe it and are copied; weights and their index are written anew. */
const companions =
  /^((generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json|merges\.txt|(tokenizer|spiece)\.model|chat_template\.jinja|(LICENSE|NOTICE|USE_POLICY)(\.(md|txt))?)$/i;
const indexName = 'model.safetensors.index.json';
const singleName = 'model.safetensors';

/** Merges an adapter into its base. Raises AdapterError, CheckpointError or RunError; nothing half-written is left. */
export async function merge(params: MergeParams, host: EngineHost): Promise<MergeResult> {
  const progress = (message: string, fraction: number | null): void =>
    host.emit({ type: 'progress', phase: 'merging', message, fraction, time: new Date().toISOString() });
  const out = resolve(params.out);
  await refuseOccupied(out);
  progress('Reading the model and the adapter', null);
  const base = await openCheckpoint(params.model);
  // Stretched positions belong to the base, and so to the merged model.
  const checkpoint = { ...base, config: await configForAdapters(base.config, [params.adapter]) };
  const model = modelFromConfig(checkpoint.config);
  const loaded = await loadAdapter(params.adapter, model, { acceptsBaseChange: true });
  planMerge(model, loaded);
  try {
    await mkdir(dirname(out), { recursive: true });
  } catch (cause) {
    throw diskError(cause, dirname(out), 'make the folder');
  }
  const runtime = openDevice(params);
  try {
    // Compares the base's tensors with its config before anything is written.
    const quantization = calledQuantization(params);
    const weights = BaseWeights.of(runtime, checkpoint, model, undefined, quantization);
    // LoftQ puts its four bits in the base's place; they are what is merged into.
    const { adapter } = await fittedAdapter(loaded, { runtime, model, weights });
    if (weights.packed.size > 0)
      host.emit({ type: 'warning', message: dequantised, time: new Date().toISOString() });
    const plan = planMerge(model, adapter);
    let check = { difference: Number.NaN, verified: false };
    await writeFolderAtomic(out, async (folder) => {
      await writeMerged(folder, { checkpoint, model, plan, runtime, weights, base }, (fraction) => {
        if (host.cancelRequested) throw cancelled();
        progress('Merging the weights', fraction);
      });
      progress('Comparing with the unmerged model', null);
      check = await compare(runtime, checkpoint, model, weights, adapter, folder);
    });
    weights.release();
    return {
      out,
      mergedModules: plan.modules,
      maxLogitDifference: check.difference,
      verified: check.verified,
    };
  } finally {
    await runtime.close();
  }
}

async function refuseOccupied(out: string): Promise<void> {
  const names = await readdir(out).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw diskError(error, out, 'write the folder');
  });
  if (names.length === 0) return;
  throw new RunError({
    code: 'merge-out-occupied',
    message: `${out} is there already and holds ${names.slice(0, 3).join(', ')}${names.length > 3 ? ', …' : ''}.`,
    remedy: 'Give --out a new or an empty folder.',
  });
}

/** Writes all files of the merged checkpoint into an empty folder. */
async function writeMerged(
  folder: string,
  source: MergeSource,
  onProgress: (fraction: number) => void,
): Promise<void> {
  const { checkpoint, plan, runtime, base } = source;
  for (const name of await readdir(checkpoint.folder)) {
    if (companions.test(name)) await copyFile(join(checkpoint.folder, name), join(folder, name));
  }
  if (plan.unties || checkpoint.config !== base.config || checkpoint.packed.size > 0) {
    // What was in four bits is not any more.
    const { quantization_config: _, ...own } = checkpoint.config;
    const config = { ...own, ...(plan.unties ? { tie_word_embeddings: false } : {}) };
    await writeFile(join(folder, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  } else await copyFile(join(checkpoint.folder, 'config.json'), join(folder, 'config.json'));

  const updater = new WeightUpdater(runtime);
  try {
    const shards = mergedShards(source, updater);
    const total = shards.reduce((sum, { tensors }) => sum + tensors.length, 0);
    let done = 0;
    for (const { file, tensors } of shards) {
      const { metadata } = await readSafetensors(join(checkpoint.folder, file));
      const counted = tensors.map((tensor) => ({
        ...tensor,
        data: () => {
          onProgress(done++ / total);
          return tensor.data();
        },
      }));
      await writeSafetensors(join(folder, file), counted, { format: 'pt', ...metadata });
    }
    if (shards.length > 1 || shards[0]!.file !== singleName) {
      await writeFile(
        join(folder, indexName),
        shardIndex(await Promise.all(shards.map(({ file }) => readSafetensors(join(folder, file))))),
      );
    }
  } finally {
    updater.release();
  }
}

/** What a merge reads. */
interface MergeSource {
  checkpoint: Checkpoint;
  /** As it lies in its folder. */
  base: Checkpoint;
  model: Model;
  plan: MergePlan;
  runtime: Runtime;
  weights: BaseWeights;
}

const dequantised =
  'The adapter is merged into the values of the base in 4 bits, which are written out whole: the merged model is larger than the quantised one, and differs a little from one merged into the unquantised base.';

interface Shard {
  /** The file's name. */
  file: string;
  tensors: (Omit<TensorToWrite, 'data'> & { data: () => Promise<ArrayBufferView> })[];
}

/** The tensors of every shard as they will be written, values on demand. */
function mergedShards({ checkpoint, model, plan, weights }: MergeSource, updater: WeightUpdater): Shard[] {
  const { tensors: resolved, packed } = baseTensors(checkpoint, model);
  const shapes = new Map(modelTensors(model).map(({ name, shape }) => [name, shape]));
  const companions = new Set([...checkpoint.packed.values()].flatMap((weight) => weight.companions));
  const ownName = new Map([...resolved].map(([name, ref]) => [ref, name]));
  const shards = new Map<string, Shard>(
    checkpoint.files.map((file) => [file, { file: basename(file), tensors: [] }]),
  );
  const add = (file: string, name: string, ref: TensorRef, change: MergedParameter | undefined): void => {
    const own = ownName.get(ref);
    const inFourBits = own !== undefined && weights.packed.has(own);
    const dtype = (own !== undefined && packed.get(own)?.dtype) || ref.dtype;
    const shape = inFourBits ? shapes.get(own)! : ref.shape;
    const values = () => (inFourBits ? weights.values(own) : readTensor(ref));
    const data = change
      ? async () => mergedValues({ name: ref.name, dtype }, await values(), change, updater)
      : inFourBits
        ? values
        : () => readRaw(ref);
    shards.get(file)!.tensors.push({ name, dtype, shape, data });
  };
  for (const [stored, ref] of checkpoint.tensors) {
    if (companions.has(stored)) continue;
    const own = ownName.get(ref)!;
    // A tied head that is stored all the same is written below, or follows the embedding.
    if (model.tied && own === headTensor) {
      if (!plan.unties) add(ref.file, stored, ref, plan.changed.get(model.head.weight));
      continue;
    }
    // With a head of its own the checkpoint is the whole class's, whose names have the prefix.
    add(ref.file, plan.unties ? own : stored, ref, plan.changed.get(own));
  }
  if (plan.unties) {
    const embedding = resolved.get(model.head.weight);
    invariant(embedding, `${model.head.weight} is in the checkpoint that was verified`);
    add(embedding.file, headTensor, embedding, plan.changed.get(headTensor));
  }
  return [...shards.values()].filter(({ tensors }) => tensors.length > 0);
}

/** A changed tensor's values, fp32; refused where they would not be finite in the file's element type. */
async function mergedValues(
  ref: Pick<TensorRef, 'name' | 'dtype'>,
  before: Float32Array,
  change: MergedParameter,
  updater: WeightUpdater,
): Promise<Float32Array> {
  const values = change.replacement ? change.replacement.slice() : before;
  if (change.delta) await updater.add(values, change.delta);
  if (change.rebuilt) await updater.rebuild(values, change.rebuilt);
  if (change.biasDelta) for (let i = 0; i < values.length; i++) values[i]! += change.biasDelta[i]!;
  const bad = findNonFinite(values);
  // From 65,520 on a number rounds to infinity in F16.
  const tooLarge = ref.dtype === 'F16' ? values.findIndex((value) => Math.abs(value) >= 65520) : -1;
  if (!bad && tooLarge < 0) return values;
  throw new AdapterError({
    code: 'merge-not-finite',
    message: bad
      ? `Merged, ${ref.name} holds ${bad.nan} NaN and ${bad.infinite} infinite values, the first at element ${bad.firstIndex}.`
      : `Merged, ${ref.name} holds ${values[tooLarge]} at element ${tooLarge}, more than ${ref.dtype} can hold (65504).`,
    remedy: bad
      ? 'Look at base and adapter with inspect; one of them is damaged.'
      : 'Use the base checkpoint in BF16 or F32.',
  });
}

function shardIndex(files: readonly { path: string; tensors: ReadonlyMap<string, TensorRef> }[]): string {
  const entries = files.flatMap(({ path, tensors }) =>
    [...tensors.values()].map((ref) => [ref.name, basename(path), ref.bytes] as const),
  );
  const index = {
    metadata: { total_size: entries.reduce((sum, [, , bytes]) => sum + bytes, 0) },
    weight_map: Object.fromEntries(
      entries.map(([name, file]) => [name, file] as const).sort(([a], [b]) => (a < b ? -1 : 1)),
    ),
  };
  return `${JSON.stringify(index, null, 2)}\n`;
}

/**
 * Tolerance on logits, relative to 1 + max|logit|, by the coarsest element type of the weights. Rounding a weight costs
 * 2^-11 in F16 and 2^-8 in BF16 of its size; errors of many weights add up like a random walk.
 */
const tolerances: Partial<Record<TensorRef['dtype'], number>> = { F32: 1e-3, F16: 1e-2, BF16: 5e-2 };

/** Largest difference of logits between the folder and base plus adapter, on one batch of arbitrary tokens. */
async function compare(
  runtime: Runtime,
  checkpoint: Checkpoint,
  model: Model,
  weights: BaseWeights,
  adapter: LoadedAdapter,
  folder: string,
): Promise<{ difference: number; verified: boolean }> {
  const batch = checkBatch(model);
  const parameters = uploadParameters(runtime, adapter.plan, adapter.values);
  const beside = new Evaluator({ runtime, model, weights, parameters });
  const unmerged = await beside.logits(batch);
  beside.release();
  parameters.release();
  const written = await openCheckpoint(folder);
  const mergedModel = modelFromConfig(written.config);
  const mergedWeights = BaseWeights.of(runtime, written, mergedModel);
  const alone = new Evaluator({ runtime, model: mergedModel, weights: mergedWeights });
  const merged = await alone.logits(batch);
  alone.release();
  mergedWeights.release();
  let difference = 0;
  let largest = 0;
  for (let i = 0; i < unmerged.length; i++) {
    const distance = Math.abs(unmerged[i]! - merged[i]!);
    // Not Math.max, so that a NaN is kept and refused below.
    if (!(distance <= difference)) difference = distance;
    largest = Math.max(largest, Math.abs(unmerged[i]!));
  }
  if (!Number.isFinite(difference)) {
    // The likeliest cause is the base itself; it then names the tensors.
    await requireFinite(checkpoint.tensors.values());
    throw new RunError({
      code: 'merge-not-finite',
      message: `The logits of ${checkpoint.folder} with ${adapter.folder} are not all numbers, merged or unmerged.`,
      remedy: 'Look at the model and the adapter with inspect; their weights may be damaged.',
    });
  }
  const tolerance = Math.max(...[...written.tensors.values()].map(({ dtype }) => tolerances[dtype] ?? 0));
  return { difference, verified: difference <= tolerance * (1 + largest) };
}

/** Two rows of tokens drawn from the whole vocabulary, always the same ones. */
function checkBatch(model: Model) {
  const [rows, length] = [2, Math.min(16, model.maxPositions)];
  const count = rows * length;
  const random = new Random(1, 'merge-check');
  return {
    rows,
    length,
    ids: Int32Array.from({ length: count }, () => random.below(model.vocabularySize)),
    targets: new Int32Array(count).fill(-100),
    positions: Int32Array.from({ length: count }, (_, i) => i % length),
    segments: new Int32Array(count).fill(1),
    trainedTokens: 0,
    tokens: count,
    sourceRows: [],
  };
}

function cancelled(): RunError {
  return new RunError({
    code: 'run-cancelled',
    message: 'The merge was cancelled; nothing was written.',
    remedy: 'Start it again.',
  });
}
