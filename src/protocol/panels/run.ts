// What the page of a run and the extension say to one another. Steps travel as columns: a long run has 100,000 of them.
import type { ErrorReport } from '../errors';
import type { PlanFacts, RunEvent } from '../run';
import type { CommonRequests } from '../webview';
import type { RecipeEdit } from './configure';

/** Steps, one entry each; null stands for what was not measured. */
export interface StepColumns {
  step: number[];
  loss: (number | null)[];
  /** The loss, smoothed over all steps, those included that are not told. */
  smoothed: (number | null)[];
  learningRate: number[];
  gradNorm: (number | null)[];
  tokensPerSecond: number[];
  /** Trained and masked tokens up to the step. */
  tokens: number[];
}

/** Everything but steps. */
export type OtherEvent = Exclude<RunEvent, { type: 'step' }>;

/** A part of a run's log. A resumed run says where it goes on, so that what it left behind is dropped. */
export interface LogPart {
  /** Steps, then the event. A long run's past comes as its events first, then as many of its steps as a screen can show. */
  pieces: readonly { steps: StepColumns; event: OtherEvent | null }[];
}

export type RunState =
  | 'waiting'
  | 'starting'
  | 'running'
  | 'paused'
  | 'stopping'
  | 'finished'
  | 'stopped'
  | 'failed';

/** A change of the recipe that may let a failed run succeed. */
export interface RunRemedy {
  edits: readonly RecipeEdit[];
  /** Whether the result of the training stays the same. */
  sameResult: boolean;
}

/** What is known of the run now. */
export interface RunView {
  id: string;
  name: string;
  /** Absolute; null while it has none. */
  folder: string | null;
  state: RunState;
  phase: string | null;
  pid: number | null;
  plan: PlanFacts | null;
  step: number;
  totalSteps: number | null;
  epoch: number;
  loss: number | null;
  evalLoss: number | null;
  bestEvalLoss: number | null;
  tokensPerSecond: number | null;
  peakMemoryBytes: number | null;
  etaSeconds: number | null;
  checkpoints: readonly { step: number; evalLoss: number | null; best: boolean }[];
  adapter: string | null;
  error: ErrorReport | null;
  /** Of a run that ran out of memory. */
  remedies: readonly RunRemedy[];
  startedAt: string | null;
  /** Of the newest event. */
  updatedAt: string | null;
  trusted: boolean;
}

export interface RunContract {
  requests: {
    command: CommonRequests['command'];
    openFile: CommonRequests['openFile'];
    /** The run's recipe as text; empty where it is not there. */
    recipe: { params: Record<string, never>; result: string };
    /** Asks which runs to compare with. */
    compare: { params: Record<string, never>; result: undefined };
    remove: { params: { id: string }; result: undefined };
    /** Makes edits in the recipe of the run and opens its form. */
    mend: { params: { edits: readonly RecipeEdit[] }; result: undefined };
    /** A picture of the page's making (base64), or all steps of the run as text, for which `content` is empty. */
    save: { params: { name: string; kind: 'png' | 'csv'; content: string }; result: boolean };
  };
  pushes: {
    run: RunView;
    /** `reset` replaces what was told before. */
    log: { id: string; name: string; reset: boolean; part: LogPart };
    /** Ids of the runs that are compared, in order. */
    compared: readonly string[];
  };
}
