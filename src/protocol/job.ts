// A training that outlives the window that started it: its folder of small files, by which the window and the detached
// trainer speak to one another. The run itself lies in its run folder; a job's folder is removed once it has ended.
import type { RunEvent } from './run';
import type { ControlCommand, TrainParams } from './trainer';

/** Names of the files in a job's folder. `control` is also read in the run's folder, so that any window can steer any run. */
export const jobFiles = {
  /** JobRequest, written by the window. */
  request: 'request.json',
  /** JobEvent a line, written by the trainer. */
  events: 'events.jsonl',
  /** JobCommand a line, written by windows. */
  control: 'control.jsonl',
  /** The trainer's lock; names its process. */
  lock: 'trainer.lock',
  /** What the trainer and native libraries write to their standard output and error. */
  log: 'trainer.log',
} as const;

export interface JobRequest {
  /** Shown until the run has a folder. */
  name: string;
  /** Absolute path of the recipe that was started. */
  recipe: string;
  params: TrainParams;
  /** ISO 8601. */
  startedAt: string;
  /** Folders of the workspace that started it, absolute: their windows tell when it has ended. */
  workspace: readonly string[];
}

/** `pause` holds the run after its current step, `continue` lets it go on. */
export type JobCommand = ControlCommand | 'pause' | 'continue';

/** What happens around a run; its steps, evaluations, samples and checkpoints stand in the run's own log alone. */
export type JobEvent = RunEvent | { type: 'paused' | 'continued' | 'waiting'; message: string; time: string };
