// A checkpoint of a run: trained tensors, optimizer state and where the run stood, in one folder that is written whole or not
// at all. What it restores continues bit for bit as if nothing had happened.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Problem } from '../../protocol/errors';
import { adapterFiles } from '../adapters/adapterFiles';
import { nativeWeightsName } from '../adapters/adapterNames';
import {
  convertedPlan,
  convertedValues,
  joinedShape,
  type StartFactors,
  splitFactor,
} from '../adapters/convert';
import { fileName } from '../adapters/peftNames';
import { writeAdapterFiles } from '../adapters/peftWriting';
import type { AdapterPlan } from '../adapters/plan';
import type { HostPart } from '../adapters/variant';
import {
  readRaw,
  readSafetensors,
  readTensor,
  type SafetensorsFile,
  writeSafetensors,
} from '../checkpoint/safetensors';
import { RunError, raiseProblems, UserError } from '../errors';
import { writeFolderAtomic } from '../files/atomic';
import { readJsonObject } from '../files/json';
import { isLossScaleState, type LossScaleState } from './lossScale';
import { isAdapter } from './output';
import type { TrainingState } from './state';

/** Where a run stands; everything random follows from it and the seed. */
export interface Progress {
  /** Optimizer steps done. */
  step: number;
  epoch: number;
  /** Micro-batches of the epoch that are done. */
  batch: number;
  /** Micro-batches done over the whole run. */
  microStep: number;
  bestLoss: number | null;
  bestStep: number | null;
  /** Evaluations since the best one. */
  evaluationsWithoutGain: number;
  /** Of float16 runs. */
  lossScale?: LossScaleState;
}

interface SnapshotFile extends Progress {
  version: 1;
  seed: number;
  /** Digest of the training examples in order. */
  data: string;
  /** Whose state lies in `optimizerName`; older checkpoints do not say. */
  optim?: string;
}

const progressName = 'progress.json';
const optimizerName = 'optimizer.safetensors';
const hostName = 'method_state.json';
const hostTensorsName = 'method_state.safetensors';

/**
 * Writes `folder`. A LoRA checkpoint is a PEFT adapter folder too; with `start`, what the base lost at the start of the run,
 * it is the converted adapter for the original base.
 */
export async function writeSnapshot(
  folder: string,
  state: TrainingState,
  plan: AdapterPlan,
  progress: Progress,
  run: { seed: number; data: string; baseFolder: string },
  host?: HostPart,
  start?: StartFactors,
): Promise<void> {
  const values = state.readAll();
  await writeFolderAtomic(folder, async (temporary) => {
    if (isAdapter(plan)) {
      // Without the host's masks: a checkpoint holds every rank.
      const files = start
        ? adapterFiles(convertedPlan(plan), convertedValues(plan, values, start), run.baseFolder)
        : adapterFiles(plan, values, run.baseFolder);
      await writeAdapterFiles(temporary, {
        ...files,
        ...(plan.sideFiles ? { sideFiles: plan.sideFiles } : {}),
      });
    } else {
      const tensors = plan.tensors.map(({ name, shape }) => ({
        name,
        shape,
        dtype: 'F32' as const,
        data: values.get(name)!,
      }));
      await writeSafetensors(join(temporary, weightsName(plan)), tensors, { format: 'pt' });
    }
    if (host) {
      const { values: kept, tensors } = host.state();
      await writeFile(join(temporary, hostName), `${JSON.stringify(kept)}\n`);
      await writeSafetensors(
        join(temporary, hostTensorsName),
        tensors.map((tensor) => ({ ...tensor, dtype: 'F32' as const })),
      );
    }
    const kept = state.readOptimizer();
    const slots = state.optimizerTensors().map((tensor) => ({ ...tensor, data: kept.get(tensor.name)! }));
    await writeSafetensors(join(temporary, optimizerName), slots);
    const file: SnapshotFile = {
      version: 1,
      seed: run.seed,
      data: run.data,
      optim: state.optim,
      ...progress,
    };
    await writeFile(join(temporary, progressName), `${JSON.stringify(file, null, 2)}\n`);
  });
}

/**
 * Puts a checkpoint's tensors and optimizer state in place and tells where the run stood.
 * @throws RunError where the checkpoint does not fit the recipe, with every difference.
 */
export async function readSnapshot(
  folder: string,
  state: TrainingState,
  plan: AdapterPlan,
  run: { seed: number; data: string },
  host?: HostPart,
  start?: StartFactors,
): Promise<{ progress: Progress; warnings: string[] }> {
  const file = await readProgress(folder);
  await restoreParameters(folder, state, plan, host, start);
  const optimizer = await readPart(folder, optimizerName);
  const values = new Map<string, Float32Array | Uint8Array>();
  // Optimizers of the same state (paged or not) go on from each other's.
  const other = file.optim !== undefined && file.optim !== state.optim;
  const expectedTensors = state.optimizerTensors();
  if (other && optimizer.tensors.size !== expectedTensors.length)
    throw otherOptimizer(folder, file.optim!, state.optim);
  for (const { name, shape, dtype } of expectedTensors) {
    const ref = optimizer.tensors.get(name);
    if (other && (!ref || ref.shape.join() !== shape.join() || (dtype === 'U8') !== (ref.dtype === 'U8')))
      throw otherOptimizer(folder, file.optim!, state.optim);
    if (!ref) throw damaged(folder, `${optimizerName} lacks ${name}`);
    if (ref.shape.join() !== shape.join() || (dtype === 'U8' && ref.dtype !== 'U8')) {
      const [found, expected] = [ref.shape, shape].map((sizes) => `[${sizes.join(', ')}]`);
      throw damaged(
        folder,
        `${name} in ${optimizerName} is ${ref.dtype} ${found}; expected ${dtype} ${expected}`,
      );
    }
    values.set(name, dtype === 'U8' ? await readRaw(ref) : await readTensor(ref));
  }
  state.writeOptimizer(values);
  const warnings: string[] = [];
  if (file.seed !== run.seed)
    warnings.push(
      `The checkpoint was made with seed ${file.seed}, the recipe says ${run.seed}; order and dropout change from here on.`,
    );
  if (file.data !== run.data)
    warnings.push(
      'The training data changed since the checkpoint; the batches from here on are not those of the interrupted run.',
    );
  const { version: _, seed: __, data: ___, ...progress } = file;
  return { progress, warnings };
}

/** What a method's host part kept: statistics and masks. */
async function restoreHost(folder: string, host: HostPart): Promise<void> {
  const values = await readJsonObject(join(folder, hostName), {
    ErrorClass: RunError,
    prefix: 'checkpoint-method-state',
    remedy: 'Resume from an older checkpoint of the run, or start a new run.',
  });
  const { tensors: refs } = await readPart(folder, hostTensorsName);
  const tensors = await Promise.all(
    [...refs.values()].map(async (ref) => ({
      name: ref.name,
      shape: ref.shape,
      data: await readTensor(ref),
    })),
  );
  try {
    host.restore({ values, tensors });
  } catch (cause) {
    throw damaged(folder, `${hostName} is not the state of this method`, cause);
  }
}

/** Puts a checkpoint's trained tensors in place, and the method's host state, and leaves the optimizer alone. */
export async function restoreParameters(
  folder: string,
  state: TrainingState,
  plan: AdapterPlan,
  host?: HostPart,
  start?: StartFactors,
): Promise<void> {
  if (host) await restoreHost(folder, host);
  const { tensors } = await readPart(folder, weightsName(plan));
  const problems: Problem[] = [];
  const values = new Map<string, Float32Array>();
  const expected = new Map(
    plan.tensors
      .filter((tensor) => !tensor.unstored)
      .map((tensor) => [isAdapter(plan) ? fileName(tensor.name) : tensor.name, tensor]),
  );
  for (const [name, tensor] of expected) {
    const ref = tensors.get(name);
    const sizes = start?.has(tensor.name) ? joinedShape(tensor.name, tensor.shape) : tensor.shape;
    const shape = `[${sizes.join(', ')}]`;
    if (!ref)
      problems.push({ where: name, message: `is not in the checkpoint; the recipe trains it as ${shape}` });
    else if (ref.shape.join() !== sizes.join()) {
      problems.push({
        where: name,
        message: `is [${ref.shape.join(', ')}] in the checkpoint and ${shape} by the recipe`,
      });
    } else {
      const data = await readTensor(ref);
      values.set(
        tensor.name,
        start?.has(tensor.name) ? splitFactor(tensor.name, tensor.shape, data).data : data,
      );
    }
  }
  for (const name of tensors.keys()) {
    if (!expected.has(name))
      problems.push({ where: name, message: 'is in the checkpoint, and the recipe does not train it' });
  }
  raiseProblems(
    RunError,
    'resume-tensors-differ',
    `The checkpoint ${folder} does not fit the recipe:`,
    problems,
    'Resume with the adapter settings of the interrupted run, or start a new run without --resume.',
  );
  state.write(values);
}

function weightsName(plan: AdapterPlan): string {
  if (!isAdapter(plan)) return 'model.safetensors';
  return plan.variant.peft ? 'adapter_model.safetensors' : nativeWeightsName;
}

/** A safetensors file of the checkpoint. */
async function readPart(folder: string, name: string): Promise<SafetensorsFile> {
  try {
    return await readSafetensors(join(folder, name));
  } catch (cause) {
    if (!(cause instanceof UserError)) throw cause;
    throw damaged(folder, cause.message.replace(/\.$/, ''), cause);
  }
}

async function readProgress(folder: string): Promise<SnapshotFile> {
  let text: string;
  try {
    text = await readFile(join(folder, progressName), 'utf8');
  } catch (cause) {
    throw damaged(folder, `${progressName} cannot be read`, cause);
  }
  const value = parsed(text);
  const whole = ['step', 'epoch', 'batch', 'microStep', 'evaluationsWithoutGain', 'seed'];
  if (
    value?.version !== 1 ||
    whole.some((key) => !Number.isSafeInteger(value[key]) || (value[key] as number) < 0) ||
    typeof value.data !== 'string' ||
    (value.optim !== undefined && typeof value.optim !== 'string') ||
    (value.lossScale !== undefined && !isLossScaleState(value.lossScale))
  ) {
    throw damaged(folder, `${progressName} does not say where the run stood`);
  }
  return value as unknown as SnapshotFile;
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function otherOptimizer(folder: string, was: string, is: string): RunError {
  return new RunError({
    code: 'checkpoint-other-optimizer',
    message: `The checkpoint ${folder} holds the state of optim: ${was.slice(0, 80)}, and the recipe has optim: ${is}, whose state is another.`,
    remedy: `Set optim: ${was.slice(0, 80)} to resume, or start a new run with ${is}.`,
  });
}

function damaged(folder: string, what: string, cause?: unknown): RunError {
  return new RunError({
    code: 'checkpoint-damaged',
    message: `The checkpoint ${folder} cannot be resumed: ${what}.`,
    remedy: 'Resume from an older checkpoint of the run, or start a new run.',
    cause,
  });
}
