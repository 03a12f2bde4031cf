// What is known of one run, folded from its events: what the trees, the status bar and the panels show. Pure.
import type { ErrorReport } from '../../protocol/errors';
import type { JobEvent } from '../../protocol/job';
import type { RunState } from '../../protocol/panels/run';
import type { PlanFacts, TrainResult } from '../../protocol/run';

export interface RunRecord {
  /** The run's folder, or `job:<id>` while it has none. */
  readonly id: string;
  readonly name: string;
  /** Absolute; undefined while there is none. */
  readonly folder: string | undefined;
  /** The job's folder while a detached trainer of ours works on it. */
  readonly job: string | undefined;
  readonly state: RunState;
  /** What it does at the moment, in words: a phase, or what it waits for. */
  readonly phase: string | undefined;
  readonly pid: number | undefined;
  readonly plan: PlanFacts | undefined;
  readonly step: number;
  readonly totalSteps: number | undefined;
  /** Fractional. */
  readonly epoch: number;
  readonly loss: number | undefined;
  readonly evalLoss: number | undefined;
  readonly bestEvalLoss: number | undefined;
  readonly tokensPerSecond: number | undefined;
  readonly peakMemoryBytes: number | undefined;
  readonly etaSeconds: number | undefined;
  readonly checkpoints: readonly {
    step: number;
    path: string;
    evalLoss: number | undefined;
    best: boolean;
  }[];
  readonly result: TrainResult | undefined;
  readonly error: ErrorReport | undefined;
  /** ISO 8601, of the first and the last event. */
  readonly startedAt: string | undefined;
  readonly updatedAt: string | undefined;
}

/** A run of which nothing is known yet. */
export function emptyRecord(id: string, name: string, folder: string | undefined, job?: string): RunRecord {
  return {
    id,
    name,
    folder,
    job,
    state: 'starting',
    phase: undefined,
    pid: undefined,
    plan: undefined,
    step: 0,
    totalSteps: undefined,
    epoch: 0,
    loss: undefined,
    evalLoss: undefined,
    bestEvalLoss: undefined,
    tokensPerSecond: undefined,
    peakMemoryBytes: undefined,
    etaSeconds: undefined,
    checkpoints: [],
    result: undefined,
    error: undefined,
    startedAt: undefined,
    updatedAt: undefined,
  };
}

/** The record after one more event. */
export function foldEvent(run: RunRecord, event: JobEvent): RunRecord {
  const next = { ...run, startedAt: run.startedAt ?? event.time, updatedAt: event.time };
  switch (event.type) {
    case 'run-started': {
      const from = event.resumedFromStep ?? 0;
      return {
        ...next,
        state: 'running',
        phase: undefined,
        pid: event.pid,
        plan: event.plan,
        step: from,
        totalSteps: event.plan.totalSteps,
        checkpoints: run.checkpoints.filter(({ step }) => step <= from),
        result: undefined,
        error: undefined,
      };
    }
    case 'step':
      return {
        ...next,
        // The word of a pause may be read before the step that it followed.
        state: run.state === 'stopping' || run.state === 'paused' ? run.state : 'running',
        phase: undefined,
        step: event.step,
        epoch: event.epoch,
        loss: event.loss,
        tokensPerSecond: event.tokensPerSecond,
        peakMemoryBytes: event.peakMemoryBytes,
        etaSeconds: event.etaSeconds ?? undefined,
      };
    case 'step-skipped':
      return { ...next, phase: undefined, step: event.step };
    case 'eval': {
      const bestEvalLoss = Math.min(event.loss, run.bestEvalLoss ?? Number.POSITIVE_INFINITY);
      return { ...next, evalLoss: event.loss, bestEvalLoss };
    }
    case 'checkpoint': {
      const others = run.checkpoints
        .filter(({ step }) => step !== event.step && event.kept?.includes(step) !== false)
        .map((checkpoint) =>
          checkpoint.best && checkpoint.evalLoss !== run.bestEvalLoss
            ? { ...checkpoint, best: false }
            : checkpoint,
        );
      const evalLoss = run.evalLoss;
      const best = evalLoss !== undefined && evalLoss === run.bestEvalLoss;
      return { ...next, checkpoints: [...others, { step: event.step, path: event.path, evalLoss, best }] };
    }
    case 'progress':
      return { ...next, phase: event.message };
    case 'waiting':
      return { ...next, state: 'waiting', phase: event.message };
    case 'paused':
      return { ...next, state: 'paused' };
    case 'continued':
      return { ...next, state: run.state === 'stopping' ? 'stopping' : 'running' };
    case 'finished':
      return {
        ...next,
        state: 'finished',
        phase: undefined,
        step: event.step,
        result: event.result,
        evalLoss: event.result.evalLoss ?? run.evalLoss,
        etaSeconds: undefined,
      };
    case 'stopped':
      return {
        ...next,
        state: 'stopped',
        phase: undefined,
        step: event.step,
        result: event.result ?? undefined,
        etaSeconds: undefined,
      };
    case 'failed':
      return {
        ...next,
        state: 'failed',
        phase: undefined,
        step: event.step ?? run.step,
        error: event.error,
        etaSeconds: undefined,
      };
    default:
      return next;
  }
}

export function isLive(state: RunState): boolean {
  return state !== 'finished' && state !== 'stopped' && state !== 'failed';
}
