// A run on disk: its folder, where each of its files lies, its lock, its checkpoints and which of them are kept.
// What a checkpoint holds is written by others; here it is a folder named by its step.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmdirSync,
  rmSync,
  statSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { parse } from 'yaml';
import type { RunEvent } from '../../protocol/run';
import { RunError } from '../errors';
import { writeFileAtomic } from '../files/atomic';
import { diskError, errnoOf } from '../files/diskErrors';
import { RunLock } from './runLock';

export interface Checkpoint {
  step: number;
  /** Absolute. */
  path: string;
}

/** trainer_state.json, with the HF Trainer's names. */
export interface TrainerState {
  global_step: number;
  /** Fractional. */
  epoch: number;
  max_steps: number;
  num_train_epochs: number;
  /** Lowest evaluation loss so far. */
  best_metric: number | null;
  best_model_checkpoint: string | null;
  log_history: Record<string, number>[];
}

/** Newest kept in memory and on disk; a long run's curve lies whole in events.jsonl. */
const maximumHistory = 100_000;

/** The folder of one run, held by this process. */
export class RunFolder {
  private constructor(
    /** Absolute. */
    readonly path: string,
    private readonly lock: RunLock,
  ) {}

  get recipePath(): string {
    return join(this.path, 'recipe.yaml');
  }
  get eventsPath(): string {
    return join(this.path, 'events.jsonl');
  }
  get statePath(): string {
    return join(this.path, 'trainer_state.json');
  }
  get adapterPath(): string {
    return join(this.path, 'adapter');
  }
  get checkpointsPath(): string {
    return join(this.path, 'checkpoints');
  }
  checkpointPath(step: number): string {
    return join(this.checkpointsPath, `step-${step}`);
  }

  /**
   * Makes the folder of a new run and takes its lock. Where `wanted` holds a run already, the run becomes `<wanted>-2`,
   * `-3` …; nothing is overwritten.
   * @throws RunError `run-folder-occupied` where `wanted` holds other files, or a disk error.
   */
  static async create(wanted: string, recipeYaml: string): Promise<RunFolder> {
    const first = resolve(wanted);
    const parent = dirname(first);
    try {
      mkdirSync(parent, { recursive: true });
    } catch (cause) {
      throw diskError(cause, parent, 'make the folder');
    }
    for (let number = 1; ; number++) {
      const path = number === 1 ? first : `${first}-${number}`;
      const lock = claim(path);
      if (lock === undefined) continue;
      const folder = new RunFolder(path, lock);
      try {
        mkdirSync(folder.checkpointsPath, { recursive: true });
        await writeFileAtomic(folder.recipePath, recipeYaml);
        return folder;
      } catch (cause) {
        folder.discard();
        throw diskError(cause, path, 'write');
      }
    }
  }

  /**
   * Opens a run to go on with it and takes its lock.
   * @throws RunError `run-missing` where there is no run, `run-locked` where another process trains in it.
   */
  static open(path: string): RunFolder {
    const folder = resolve(path);
    if (!isRun(folder)) {
      throw new RunError({
        code: 'run-missing',
        message: `There is no run in ${folder} to go on with.`,
        remedy: 'Start without --resume, or set output_dir to the folder of the run.',
      });
    }
    return new RunFolder(folder, RunLock.take(join(folder, 'run.lock')));
  }

  /**
   * Opens the run to go on with and finds the checkpoint to go on from. `from` is true for the newest checkpoint of the
   * newest run that was started with this output_dir (`wanted`, `wanted-2`, …), or a checkpoint's folder.
   * @throws RunError `run-missing`, `run-locked`, `checkpoint-not-of-run`, or `run-without-checkpoint`.
   */
  static resume(wanted: string, from: true | string): { folder: RunFolder; checkpoint: Checkpoint } {
    if (typeof from === 'string') {
      const { run, checkpoint } = runOfCheckpoint(from);
      return { folder: RunFolder.open(run), checkpoint };
    }
    const folder = RunFolder.open(latestRun(wanted));
    const checkpoint = folder.newestCheckpoint();
    if (checkpoint !== undefined) return { folder, checkpoint };
    folder.release();
    throw new RunError({
      code: 'run-without-checkpoint',
      message: `The run ${folder.path} ended before its first checkpoint.`,
      remedy: 'Start it again without --resume, with a smaller save_steps.',
    });
  }

  /** Removes a folder that `create` made and in which no run began; gives the lock back. */
  discard(): void {
    try {
      // It was new or empty: all in it is ours.
      for (const name of readdirSync(this.path)) {
        if (name !== 'run.lock') rmSync(join(this.path, name), { recursive: true, force: true });
      }
      this.release();
      rmdirSync(this.path);
    } catch {
      // What cannot be removed stays; the failure that led here is reported.
      this.release();
    }
  }

  /** Gives the lock back. */
  release(): void {
    this.lock.release();
  }

  checkpoints(): Checkpoint[] {
    return listCheckpoints(this.path);
  }

  newestCheckpoint(): Checkpoint | undefined {
    return this.checkpoints().at(-1);
  }

  async writeState(state: TrainerState): Promise<void> {
    const bounded = { ...state, log_history: state.log_history.slice(-maximumHistory) };
    await writeFileAtomic(this.statePath, `${JSON.stringify(bounded, null, 2)}\n`);
  }

  /**
   * Removes the oldest checkpoints until `limit` are left. The newest and the best always stay, so that with limit 1
   * there may be two. Returns the steps removed.
   */
  async prune(limit: number | null, bestStep: number | null): Promise<number[]> {
    const all = this.checkpoints();
    const newest = all.at(-1)?.step;
    const removable = all.filter(({ step }) => step !== newest && step !== bestStep);
    const surplus = limit === null ? 0 : Math.max(0, all.length - limit);
    const removed = removable.slice(0, surplus);
    for (const { path } of removed) {
      try {
        await rm(path, { recursive: true, force: true });
      } catch (cause) {
        throw diskError(cause, path, 'remove');
      }
    }
    return removed.map(({ step }) => step);
  }
}

/** The lock of a fresh folder at `path`; undefined where a run lies there. */
function claim(path: string): RunLock | undefined {
  try {
    mkdirSync(path);
  } catch (cause) {
    if (errnoOf(cause) !== 'EEXIST') throw diskError(cause, path, 'make the folder');
    if (isRun(path)) return undefined;
    const content = existsSync(path) && statSync(path).isDirectory() ? readdirSync(path) : undefined;
    // Somebody else may be making a run of it at this moment.
    if (content?.some((name) => name.startsWith('run.lock'))) return undefined;
    if (content === undefined || content.length > 0) {
      throw new RunError({
        code: 'run-folder-occupied',
        message: `${path} ${content === undefined ? (existsSync(path) ? 'is a file' : 'is a link to nothing') : `holds other files (${content.slice(0, 3).join(', ')})`} and is no run.`,
        remedy: 'Set output_dir to a new or empty folder.',
      });
    }
  }
  try {
    return RunLock.take(join(path, 'run.lock'));
  } catch (cause) {
    if (cause instanceof RunError && cause.code === 'run-locked') return undefined;
    if (existsSync(path) && readdirSync(path).length === 0) rmdirSync(path);
    throw cause;
  }
}

/** Whether a folder is a run: it has a recipe or events. */
export function isRun(path: string): boolean {
  return existsSync(join(path, 'recipe.yaml')) || existsSync(join(path, 'events.jsonl'));
}

/** The newest of the runs that were started with one output_dir; `wanted` itself where there is none. */
export function latestRun(wanted: string): string {
  const first = resolve(wanted);
  const prefix = `${basename(first)}-`;
  let names: string[];
  try {
    names = readdirSync(dirname(first));
  } catch {
    return first;
  }
  const later = names
    .filter((name) => name.startsWith(prefix) && /^\d{1,9}$/.test(name.slice(prefix.length)))
    .sort((a, b) => Number(b.slice(prefix.length)) - Number(a.slice(prefix.length)))
    .map((name) => join(dirname(first), name));
  // `sql-7` may also be the first run of a recipe of that name.
  return later.find((path) => isRun(path) && wantedFolder(path) === first) ?? first;
}

/** The output_dir that a run's recipe asked for. */
function wantedFolder(run: string): string | undefined {
  try {
    const recipe: unknown = parse(readFileSync(join(run, 'recipe.yaml'), 'utf8'), {
      maxAliasCount: 0,
      logLevel: 'error',
    });
    const wanted = (recipe as { output_dir?: unknown } | null)?.output_dir;
    return typeof wanted === 'string' ? resolve(wanted) : undefined;
  } catch {
    return undefined;
  }
}

/** A run's checkpoints by step, oldest first. Folders that are still being written have other names. */
export function listCheckpoints(run: string): Checkpoint[] {
  const folder = join(run, 'checkpoints');
  let names: string[];
  try {
    names = readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (cause) {
    if (errnoOf(cause) === 'ENOENT') return [];
    throw diskError(cause, folder, 'read');
  }
  return names
    .flatMap((name) => {
      const step = /^step-(\d{1,15})$/.exec(name)?.[1];
      return step === undefined ? [] : [{ step: Number(step), path: join(folder, name) }];
    })
    .sort((a, b) => a.step - b.step);
}

/**
 * The run and step that a checkpoint's folder belongs to.
 * @throws RunError `checkpoint-not-of-run` where it does not lie in a run.
 */
export function runOfCheckpoint(path: string): { run: string; checkpoint: Checkpoint } {
  const real = existsSync(path) ? realpathSync(path) : resolve(path);
  const step = /^step-(\d{1,15})$/.exec(basename(real))?.[1];
  const run = dirname(dirname(real));
  if (step === undefined || basename(dirname(real)) !== 'checkpoints' || !isRun(run)) {
    throw new RunError({
      code: 'checkpoint-not-of-run',
      message: `${path} is no checkpoint of a run (runs/<name>/checkpoints/step-<number>).`,
      remedy: "Give a folder below a run's checkpoints.",
    });
  }
  return { run, checkpoint: { step: Number(step), path: real } };
}

/** The entry of log_history for an event, or undefined for events that have none. */
export function historyEntry(event: RunEvent): Record<string, number> | undefined {
  if (event.type === 'step') {
    return {
      epoch: event.epoch,
      ...(event.gradNorm === null ? {} : { grad_norm: event.gradNorm }),
      learning_rate: event.learningRate,
      loss: event.loss,
      step: event.step,
    };
  }
  return event.type === 'eval' ? { epoch: event.epoch, eval_loss: event.loss, step: event.step } : undefined;
}
