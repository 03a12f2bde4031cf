// Takes a run's events as they happen and keeps them: the event log, TensorBoard, trainer_state.json; then passes them on.
import { readFileSync } from 'node:fs';
import { type RunEvent, type RunEventBody, timed } from '../../protocol/run';
import { EventLog } from './eventLog';
import { historyEntry, type RunFolder, type TrainerState } from './runFolder';
import { TensorboardWriter } from './tensorboard';

export interface RecorderOptions {
  maxSteps: number;
  numTrainEpochs: number;
  tensorboard: boolean;
  /** The step that the run goes on from; null for a new run. What the interrupted part logged after it is dropped. */
  resumedFromStep: number | null;
  /** Steps between the steps that are kept; every step is passed on. */
  loggingSteps: number;
}

/** Records one run. */
export class RunRecorder {
  private readonly log: EventLog;
  private readonly tensorboard: TensorboardWriter | null;
  readonly state: TrainerState;

  constructor(
    private readonly folder: RunFolder,
    private readonly options: RecorderOptions,
    private readonly passOn: (event: RunEvent) => void,
  ) {
    this.log = EventLog.open(folder.eventsPath);
    this.tensorboard = options.tensorboard ? TensorboardWriter.open(folder.path) : null;
    this.state = startState(folder, options);
  }

  /** Gives the event its time, keeps it and passes it on. */
  emit(body: RunEventBody): void {
    const event = timed(body);
    if (event.type !== 'step' || event.step % this.options.loggingSteps === 0) {
      this.log.append(event);
      this.tensorboard?.add(event);
      const entry = historyEntry(event);
      if (entry !== undefined) this.state.log_history.push(entry);
    }
    if (event.type === 'step' || event.type === 'eval') {
      this.state.global_step = event.step;
      this.state.epoch = event.epoch;
    }
    if (event.type === 'eval' && event.best) {
      this.state.best_metric = event.loss;
      this.state.best_model_checkpoint = this.folder.checkpointPath(event.step);
    }
    this.passOn(event);
  }

  /** Writes trainer_state.json; called with every checkpoint and at the end. */
  async saveState(): Promise<void> {
    await this.folder.writeState(this.state);
  }

  /** Closes the files; the run's lock stays. */
  close(): void {
    this.log.close();
    this.tensorboard?.close();
  }
}

function startState(folder: RunFolder, options: RecorderOptions): TrainerState {
  const fresh: TrainerState = {
    global_step: options.resumedFromStep ?? 0,
    epoch: 0,
    max_steps: options.maxSteps,
    num_train_epochs: options.numTrainEpochs,
    best_metric: null,
    best_model_checkpoint: null,
    log_history: [],
  };
  if (options.resumedFromStep === null) return fresh;
  const from = options.resumedFromStep;
  const old = readTrainerState(folder.statePath);
  const history = (old?.log_history ?? []).filter((entry) => (entry.step ?? 0) <= from);
  const best = history.reduce<Record<string, number> | null>(
    (lowest, entry) =>
      entry.eval_loss !== undefined && entry.eval_loss < (lowest?.eval_loss ?? Infinity) ? entry : lowest,
    null,
  );
  return {
    ...fresh,
    epoch: history.at(-1)?.epoch ?? 0,
    best_metric: best?.eval_loss ?? null,
    best_model_checkpoint: best?.step === undefined ? null : folder.checkpointPath(best.step),
    log_history: history,
  };
}

/** A run's trainer_state.json; undefined where there is none or it is damaged, for the events hold the same. */
export function readTrainerState(path: string): TrainerState | undefined {
  try {
    const value = JSON.parse(readFileSync(path, 'utf8')) as Partial<TrainerState> | null;
    return Array.isArray(value?.log_history) && typeof value.global_step === 'number'
      ? (value as TrainerState)
      : undefined;
  } catch {
    return undefined;
  }
}
