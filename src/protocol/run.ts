// What a run says while it goes on: one event is one line of events.jsonl, one message to the terminal and to the panels.
import type { ErrorReport } from './errors';

/** What is known of a run before its first step. */
export interface PlanFacts {
  modelType: string;
  device: string;
  dtype: string;
  adapter: string;
  trainableParameters: number;
  totalParameters: number;
  /** Modules that carry an adapter. */
  adaptedModules: number;
  trainExamples: number;
  evalExamples: number;
  /** Tokens that the loss counts in one epoch. */
  trainedTokensPerEpoch: number;
  totalSteps: number;
  stepsPerEpoch: number;
  /** Examples per optimizer step. */
  effectiveBatchSize: number;
  /** On the run's device, without what lies in system memory beside it. Null where no forecast was made. */
  predictedPeakBytes: number | null;
}

/** The reply to `train`; also the body of the last event. */
export interface TrainResult {
  /** Absolute path of the run's folder. */
  run: string;
  /** Absolute path of the adapter's folder (of the model's, for full fine-tuning). */
  adapter: string;
  steps: number;
  /** Mean training loss per token over the last logged steps. */
  loss: number;
  evalLoss: number | null;
  trainableParameters: number;
  tokensPerSecond: number;
  peakMemoryBytes: number;
}

export type CheckpointReason = 'steps' | 'epoch' | 'best' | 'asked' | 'stop' | 'end';

/** One module when a method chose between them. */
export interface ModuleChoice {
  path: string;
  /** Share of what the modules of its group add. */
  importance: number;
  kept: boolean;
  /** The pair that it shares; null for one that has its own. */
  sharedAs: string | null;
}

/** What happened, without its time. */
export type RunEventBody =
  | { type: 'run-started'; run: string; pid: number; plan: PlanFacts; resumedFromStep: number | null }
  | {
      type: 'note';
      message: string;
      /** The last finished step where it came up during training. */
      step?: number;
      /** Where a method chose between modules: all of them, in the order of the model. */
      modules?: readonly ModuleChoice[];
    }
  | { type: 'warning'; message: string; remedy?: string }
  | {
      type: 'progress';
      phase:
        | 'reading'
        | 'tokenizing'
        | 'compiling'
        | 'loading'
        | 'evaluating'
        | 'saving'
        | 'merging'
        | 'installing';
      message: string;
      /** 0…1, or null where unknown. */
      fraction: number | null;
    }
  | {
      type: 'step';
      step: number;
      /** Fractional. */
      epoch: number;
      /** Mean over the trained tokens of the step. */
      loss: number;
      learningRate: number;
      /** Before clipping; null where it was not computed. */
      gradNorm: number | null;
      /** Trained and masked tokens of the step, without padding. */
      tokens: number;
      tokensPerSecond: number;
      peakMemoryBytes: number;
      etaSeconds: number | null;
      /** How often the host waited for the device; on the CPU, how often it would have. Runs of older versions lack it. */
      hostWaits?: number;
    }
  | {
      type: 'eval';
      step: number;
      epoch: number;
      loss: number;
      perplexity: number;
      /** Tokens that the loss counts. */
      tokens: number;
      /** Whether this is the lowest loss so far. */
      best: boolean;
    }
  /** float16: the step's gradient overflowed, and nothing moved. `lossScale` is the one from now on. */
  | { type: 'step-skipped'; step: number; lossScale: number }
  /** What the run's CUDA device holds and does, all programs on it together; told while that changes. */
  | {
      type: 'device';
      step: number;
      /** For example `cuda:0`. */
      device: string;
      name: string;
      /** Null where the driver does not tell. */
      memoryUsedBytes: number | null;
      memoryTotalBytes: number | null;
      /** 0…1: share of the time in which a kernel ran. */
      utilization: number | null;
    }
  | { type: 'sample'; step: number; prompt: string; text: string }
  | {
      type: 'checkpoint';
      step: number;
      path: string;
      reason: CheckpointReason;
      /** Steps of all checkpoints that are there now; logs of earlier versions lack it. */
      kept?: readonly number[];
    }
  | { type: 'finished'; step: number; reason: 'complete' | 'early-stopping'; result: TrainResult }
  | { type: 'stopped'; step: number; checkpoint: string | null; result: TrainResult | null }
  | { type: 'failed'; step: number | null; error: ErrorReport };

/** One line of events.jsonl. `time` is ISO 8601 in UTC. */
export type RunEvent = RunEventBody & { time: string };

/** Gives an event its time. */
export function timed(body: RunEventBody, time: Date = new Date()): RunEvent {
  return { ...body, time: time.toISOString() };
}
