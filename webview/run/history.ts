// What a run did, as its page draws it: steps in columns, evaluations, samples, checkpoints, events.
// A resumed run takes back what it had left behind. Pure.
import type { LogPart, OtherEvent, StepColumns } from '../../src/protocol/panels/run';
import type { ModuleChoice } from '../../src/protocol/run';

export interface EvalPoint {
  step: number;
  loss: number;
  perplexity: number;
  best: boolean;
}

export interface SampleText {
  step: number;
  time: string;
  prompt: string;
  text: string;
}

/** The device at a moment; null stands for what the driver did not tell. */
export interface DevicePoint {
  step: number;
  /** Milliseconds since 1970. */
  at: number;
  device: string;
  name: string;
  /** Bytes, of all programs. */
  used: number | null;
  total: number | null;
  /** 0…1. */
  utilization: number | null;
}

const mostEvents = 2000;
/** Twice what a chart shows; then every other one goes. */
const mostDevicePoints = 1200;

export class RunHistory {
  readonly step: number[] = [];
  readonly loss: number[] = [];
  readonly smoothed: number[] = [];
  readonly learningRate: number[] = [];
  readonly gradNorm: number[] = [];
  readonly tokensPerSecond: number[] = [];
  /** Summed up. */
  readonly tokens: number[] = [];
  evals: EvalPoint[] = [];
  samples: SampleText[] = [];
  checkpoints: { step: number; reason: string }[] = [];
  device: DevicePoint[] = [];
  /** What the method chose between; empty where it did not, or not yet. */
  choices: readonly ModuleChoice[] = [];
  /** Newest last. */
  events: OtherEvent[] = [];

  constructor(
    readonly id: string,
    readonly name: string,
  ) {}

  add({ pieces }: LogPart): void {
    for (const { steps, event } of pieces) {
      this.#addSteps(steps);
      if (event !== null) this.#addEvent(event);
    }
  }

  get lastStep(): number {
    return this.step.at(-1) ?? 0;
  }

  #addSteps(columns: StepColumns): void {
    for (let i = 0; i < columns.step.length; i++) {
      const step = columns.step[i]!;
      // A log that repeats a step goes on from there.
      if (step <= this.lastStep && this.step.length > 0) this.#backTo(step - 1);
      this.step.push(step);
      this.loss.push(columns.loss[i] ?? Number.NaN);
      this.smoothed.push(columns.smoothed[i] ?? Number.NaN);
      this.learningRate.push(columns.learningRate[i]!);
      this.gradNorm.push(columns.gradNorm[i] ?? Number.NaN);
      this.tokensPerSecond.push(columns.tokensPerSecond[i]!);
      this.tokens.push(columns.tokens[i]!);
    }
  }

  #addEvent(event: OtherEvent): void {
    if (event.type === 'device') {
      this.#addDevice(event);
      return;
    }
    if (event.type === 'run-started') {
      this.#backTo(event.resumedFromStep ?? 0);
      // A run that goes on keeps its choice, or makes another and says so.
      if (event.resumedFromStep === null) this.choices = [];
    } else if (event.type === 'note') {
      if (event.modules !== undefined) this.choices = event.modules;
    } else if (event.type === 'eval') {
      const { step, loss, perplexity, best } = event;
      this.evals.push({ step, loss, perplexity, best });
    } else if (event.type === 'sample') {
      const { step, time, prompt, text } = event;
      this.samples.push({ step, time, prompt, text });
    } else if (event.type === 'checkpoint') {
      // One that was written for two reasons is one.
      if (this.checkpoints.at(-1)?.step === event.step) this.checkpoints.pop();
      this.checkpoints.push({ step: event.step, reason: event.reason });
    }
    if (event.type === 'progress' || event.type === 'sample') return;
    this.events.push(event);
    if (this.events.length > mostEvents) this.events.splice(0, this.events.length - mostEvents);
  }

  #addDevice({
    step,
    time,
    device,
    name,
    memoryUsedBytes: used,
    memoryTotalBytes: total,
    utilization,
  }: Extract<OtherEvent, { type: 'device' }>): void {
    const at = Date.parse(time);
    if (Number.isNaN(at)) return;
    this.device.push({ step, at, device, name, used, total, utilization });
    if (this.device.length > mostDevicePoints) this.device = this.device.filter((_, i) => i % 2 === 1);
  }

  /** Forgets what came after a step. */
  #backTo(step: number): void {
    let length = this.step.length;
    while (length > 0 && this.step[length - 1]! > step) length--;
    for (const column of [
      this.step,
      this.loss,
      this.smoothed,
      this.learningRate,
      this.gradNorm,
      this.tokensPerSecond,
      this.tokens,
    ])
      column.length = length;
    this.evals = this.evals.filter((one) => one.step <= step);
    this.samples = this.samples.filter((one) => one.step <= step);
    this.checkpoints = this.checkpoints.filter((one) => one.step <= step);
    this.device = this.device.filter((one) => one.step <= step);
  }
}
