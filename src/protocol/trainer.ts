// The calls between a parent (terminal, extension) and the trainer process, and the messages that carry them over IPC.
// All of it is JSON; parameters are validated by the parent, results are what `--json` prints.
import type {
  AverageParams,
  AverageResult,
  ComposeParams,
  ComposeResult,
  ConvertParams,
  ConvertResult,
  DiffParams,
  DiffResult,
  ExtractParams,
  ExtractResult,
  InspectParams,
  InspectResult,
  MergeParams,
  MergeResult,
  ResizeParams,
  ResizeResult,
} from './calls/adapters';
import type { DoctorParams, DoctorResult } from './calls/machine';
import type {
  EstimateParams,
  EstimateResult,
  IntrinsicDimensionParams,
  IntrinsicDimensionResult,
  TrainParams,
} from './calls/runs';
import type {
  CloseSessionParams,
  EvaluateParams,
  EvaluateResult,
  GenerateParams,
  GenerateResult,
  OpenSessionParams,
  OpenSessionResult,
  SayParams,
  SayResult,
  TokenEvent,
} from './calls/text';
import type { InstallCudaParams, InstallCudaResult } from './cuda';
import type { ErrorReport } from './errors';
import type { RunEvent, TrainResult } from './run';

export type * from './calls/adapters';
export type * from './calls/common';
export type * from './calls/machine';
export type * from './calls/runs';
export type * from './calls/text';
export type { TrainResult } from './run';

/** Every call: its parameters and its result. */
export interface TrainerMethods {
  train: { params: TrainParams; result: TrainResult };
  evaluate: { params: EvaluateParams; result: EvaluateResult };
  generate: { params: GenerateParams; result: GenerateResult };
  openSession: { params: OpenSessionParams; result: OpenSessionResult };
  say: { params: SayParams; result: SayResult };
  closeSession: { params: CloseSessionParams; result: null };
  estimate: { params: EstimateParams; result: EstimateResult };
  inspect: { params: InspectParams; result: InspectResult };
  merge: { params: MergeParams; result: MergeResult };
  compose: { params: ComposeParams; result: ComposeResult };
  extract: { params: ExtractParams; result: ExtractResult };
  convert: { params: ConvertParams; result: ConvertResult };
  average: { params: AverageParams; result: AverageResult };
  resize: { params: ResizeParams; result: ResizeResult };
  diff: { params: DiffParams; result: DiffResult };
  intrinsicDimension: { params: IntrinsicDimensionParams; result: IntrinsicDimensionResult };
  doctor: { params: DoctorParams; result: DoctorResult };
  installCuda: { params: InstallCudaParams; result: InstallCudaResult };
}
export type TrainerMethod = keyof TrainerMethods;

export type TrainerEvent = RunEvent | TokenEvent;

/** What a running call may ask of the process around it. */
export interface EngineHost {
  emit(event: TrainerEvent): void;
  /** Save a checkpoint and end as soon as the current step is done. */
  readonly stopRequested: boolean;
  /** End as soon as possible; saving is not wanted. */
  readonly cancelRequested: boolean;
  /** True once for every request to write a checkpoint and go on. */
  takeCheckpointRequest(): boolean;
}

/** One entry per method; `src/engine/api.ts` implements it. */
export type EngineApi = {
  readonly [M in TrainerMethod]: (
    params: TrainerMethods[M]['params'],
    host: EngineHost,
  ) => Promise<TrainerMethods[M]['result']>;
};

/** `stop`: save and stop. `cancel`: stop now. `checkpoint`: save and go on. */
export type ControlCommand = 'stop' | 'cancel' | 'checkpoint';

export type ParentMessage =
  | { kind: 'request'; id: number; method: TrainerMethod; params: unknown }
  | { kind: 'control'; command: ControlCommand };

export type ChildMessage =
  | { kind: 'event'; id: number; event: TrainerEvent }
  | { kind: 'result'; id: number; result: unknown }
  | { kind: 'error'; id: number; error: ErrorReport };

/** Codes of reports that are our fault, not the user's; the terminal exits with 1 on them. */
export const faultCodes: readonly string[] = ['internal-error', 'trainer-died'];
