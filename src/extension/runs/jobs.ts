// Trainings of our own: starts a detached trainer, finds those that an earlier window started, steers them through their
// files, and gives each an end on disk, also one that was killed.
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { closeSync, existsSync, openSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import * as vscode from 'vscode';
import { EventLog, readEvents } from '../../engine/run/eventLog';
import { isLocked, RunLock } from '../../engine/run/runLock';
import { type JobCommand, type JobEvent, type JobRequest, jobFiles } from '../../protocol/job';
import { timed } from '../../protocol/run';
import { sendCommand } from '../../trainer/control';
import type { Services } from '../services';
import { trainerCommand } from '../trainerProgram';
import { deathReport, type Exit, lastLines } from './death';
import { emptyRecord, foldEvent, isLive, type RunRecord } from './runRecord';

/** A job under this window's eyes. */
interface Job {
  readonly id: string;
  readonly folder: string;
  readonly request: JobRequest;
  readonly startedHere: boolean;
  position: number;
  record: RunRecord;
  /** Known where this window is the parent and has seen the end. */
  exit: Exit | undefined;
  /** Whether a live process was ever seen. */
  alive: boolean;
  /** Ended by the user: killed, or stopped when there was nothing to save yet. */
  killed: boolean;
  stopped: boolean;
  /** Where this window is the parent. */
  child: ChildProcess | undefined;
}

export interface JobEnd {
  run: RunRecord;
  /** Whether this workspace started it. */
  ours: boolean;
}

const followMs = 100;
/** How long a fresh trainer may take until it holds its lock. */
const startMs = 30_000;

export class Jobs implements vscode.Disposable {
  readonly #jobs = new Map<string, Job>();
  readonly #ended = new vscode.EventEmitter<JobEnd>();
  readonly onDidEnd = this.#ended.event;
  readonly #timer: NodeJS.Timeout;
  #busy = false;

  constructor(
    private readonly folder: string,
    private readonly services: () => Pick<Services, 'context' | 'log' | 'settings' | 'runs' | 'library'>,
  ) {
    this.#timer = setInterval(() => void this.#follow(), followMs);
  }

  /** Finds the jobs of earlier windows and follows them. */
  async attach(): Promise<void> {
    const names = await readdir(this.folder).catch(() => []);
    for (const name of names) {
      if (!/^[0-9a-f-]{36}$/.test(name)) continue;
      const request = readRequest(join(this.folder, name));
      if (request !== undefined) this.#watch(name, request, false);
    }
    await this.#follow();
  }

  /**
   * Starts a training that outlives this window. The recipe is validated already.
   * @throws UserError of the trainer's program; VS Code's own errors for the disk.
   */
  async start(request: Omit<JobRequest, 'startedAt' | 'workspace'>): Promise<RunRecord> {
    if (!vscode.workspace.isTrusted)
      throw new Error(vscode.l10n.t('Nothing is started in a folder that is not trusted.'));
    const id = randomUUID();
    const folder = join(this.folder, id);
    await mkdir(folder, { recursive: true });
    const full: JobRequest = {
      ...request,
      startedAt: new Date().toISOString(),
      workspace: workspaceFolders(),
    };
    await writeFile(join(folder, jobFiles.request), JSON.stringify(full));
    const { log, settings } = this.services();
    const { program, args, env } = trainerCommand(settings);
    const output = openSync(join(folder, jobFiles.log), 'a');
    let child: ChildProcess;
    try {
      child = spawn(program, [...args, '--detached', folder], {
        detached: true,
        stdio: ['ignore', output, output],
        env,
        windowsHide: true,
      });
    } finally {
      closeSync(output);
    }
    child.unref();
    const job = this.#watch(id, full, true);
    job.child = child;
    child.once('exit', (code, signal) => {
      job.exit = { code, signal, error: undefined };
    });
    child.once('error', (error) => {
      job.exit = { code: null, signal: null, error: error.message };
    });
    log.info(`Started ${request.name} (process ${child.pid ?? '?'}): ${request.recipe}`);
    return job.record;
  }

  /** Sends a command to a live run, whoever started it. */
  command(run: RunRecord, command: JobCommand): void {
    const folder = run.folder ?? run.job;
    if (folder === undefined || !isLive(run.state)) return;
    if (command === 'stop' || command === 'cancel') {
      this.services().runs.update(run.id, { state: 'stopping', phase: vscode.l10n.t('Saving and stopping') });
    }
    sendCommand(folder, command);
    // Nothing is trained yet, so nothing is there to be saved: the phases before the first step take no command.
    if (command !== 'stop' || run.folder !== undefined) return;
    const job = this.#jobOf(run);
    if (job !== undefined) job.stopped = true;
    this.kill(run);
  }

  /** Ends a run's process at once. Its files stay whole. */
  kill(run: RunRecord): void {
    const job = this.#jobOf(run);
    const lock =
      job === undefined ? run.folder && join(run.folder, 'run.lock') : join(job.folder, jobFiles.lock);
    const pid = lock ? lockedPid(lock) : undefined;
    if (job !== undefined) job.killed = true;
    if (pid !== undefined) process.kill(pid, 'SIGKILL');
    else if (job?.exit === undefined) job?.child?.kill('SIGKILL');
  }

  #jobOf(run: RunRecord): Job | undefined {
    return [...this.#jobs.values()].find(
      ({ record, folder }) =>
        folder === run.job || (run.folder !== undefined && record.folder === run.folder),
    );
  }

  dispose(): void {
    clearInterval(this.#timer);
    this.#ended.dispose();
  }

  #watch(id: string, request: JobRequest, startedHere: boolean): Job {
    const folder = join(this.folder, id);
    const empty = emptyRecord(`job:${id}`, request.name, undefined, folder);
    const job: Job = {
      id,
      folder,
      request,
      startedHere,
      position: 0,
      record: { ...empty, startedAt: request.startedAt },
      exit: undefined,
      alive: false,
      killed: false,
      stopped: false,
      child: undefined,
    };
    this.#jobs.set(id, job);
    this.services().runs.setJob(job.record);
    return job;
  }

  async #follow(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (const job of this.#jobs.values()) await this.#look(job);
    } catch (cause) {
      this.services().log.error(cause as Error);
    } finally {
      this.#busy = false;
    }
  }

  async #look(job: Job): Promise<void> {
    if (!existsSync(job.folder)) {
      // Another window has given it its end.
      this.#forget(job);
      return;
    }
    const lock = join(job.folder, jobFiles.lock);
    const alive = isLocked(lock);
    job.alive ||= alive;
    // The state is asked before the log is read, so that no last event is missed.
    const { events, nextByte } = readEvents(join(job.folder, jobFiles.events), job.position);
    job.position = nextByte;
    for (const event of events as JobEvent[]) await this.#take(job, event);
    if (alive) return;
    const waited = Date.now() - Date.parse(job.request.startedAt) > startMs;
    if (job.exit !== undefined || job.alive || waited || !job.startedHere) await this.#conclude(job);
  }

  async #take(job: Job, event: JobEvent): Promise<void> {
    const { runs } = this.services();
    const before = job.record;
    job.record = foldEvent(job.record, event);
    if (event.type === 'run-started') {
      job.record = { ...job.record, folder: event.run };
      await runs.add(event.run, job.folder);
      runs.removeJob(job.record.id);
    } else if (before.folder === undefined) runs.setJob(job.record);
    else if (event.type === 'progress' || event.type === 'paused' || event.type === 'continued') {
      const { state, phase } = job.record;
      runs.update(before.folder, event.type === 'progress' ? { phase } : { state, phase });
    }
  }

  /** The process is gone: gives the run its end, and removes the job. Of several windows one does it. */
  async #conclude(job: Job): Promise<void> {
    const { runs, log, library } = this.services();
    const mine = `${job.folder}.ended`;
    try {
      await rename(job.folder, mine);
    } catch {
      this.#forget(job);
      return;
    }
    const logPath = join(mine, jobFiles.log);
    const run = job.record.folder;
    if (run === undefined && job.stopped) {
      job.record = foldEvent(job.record, timed({ type: 'stopped', step: 0, checkpoint: null, result: null }));
    } else if (isLive(job.record.state)) {
      const step = run === undefined ? null : (runs.get(run)?.step ?? null);
      const report = deathReport(job.exit, job.killed, step, lastLines(logPath));
      const event = timed({ type: 'failed', step, error: report });
      job.record = foldEvent(job.record, event);
      if (run !== undefined) appendEnd(run, event, log);
    }
    if (run !== undefined) {
      await copyFile(logPath, join(run, jobFiles.log)).catch(() => undefined);
      await runs.readOn(run);
      runs.update(run, { job: undefined });
    } else if (job.record.state === 'failed') runs.setJob({ ...job.record, job: undefined });
    else runs.removeJob(job.record.id);
    this.#jobs.delete(job.id);
    await rm(mine, { recursive: true, force: true });
    library.refreshSoon();
    const ended = (run === undefined ? undefined : runs.get(run)) ?? job.record;
    log.info(`${ended.name}: ${ended.state}`);
    this.#ended.fire({ run: ended, ours: job.startedHere || isOurs(job.request) });
  }

  #forget(job: Job): void {
    const { runs } = this.services();
    this.#jobs.delete(job.id);
    runs.removeJob(job.record.id);
    if (job.record.folder !== undefined) runs.update(job.record.folder, { job: undefined });
  }
}

function workspaceFolders(): string[] {
  return (vscode.workspace.workspaceFolders ?? []).map(({ uri }) => uri.fsPath);
}

function isOurs(request: JobRequest): boolean {
  const here = workspaceFolders();
  return request.workspace.some((folder) => here.includes(folder));
}

/** Our own file, and yet: a half-written one is no job. */
function readRequest(folder: string): JobRequest | undefined {
  try {
    return JSON.parse(readFileSync(join(folder, jobFiles.request), 'utf8')) as JobRequest;
  } catch {
    return undefined;
  }
}

/** The process that holds a lock now. */
function lockedPid(lock: string): number | undefined {
  if (!isLocked(lock)) return undefined;
  const { pid } = JSON.parse(readFileSync(lock, 'utf8')) as { pid: number };
  return pid > 1 && pid !== process.pid ? pid : undefined;
}

/** Writes the last event of a run whose trainer could not. */
function appendEnd(run: string, event: JobEvent, log: vscode.LogOutputChannel): void {
  try {
    const lock = RunLock.take(join(run, 'run.lock'));
    try {
      const events = EventLog.open(join(run, 'events.jsonl'));
      events.append(event as Parameters<EventLog['append']>[0]);
      events.close();
    } finally {
      lock.release();
    }
  } catch (cause) {
    log.warn(`${basename(run)}: ${(cause as Error).message}`);
  }
}
