// A run's log as its page draws it: read piece by piece from where the last reading ended, folded into columns, told as an
// overview first and as single steps from then on. It knows the log's file and no page.
import { readEventPieces } from '../../engine/run/eventLog';
import type { LogPart, OtherEvent, StepColumns } from '../../protocol/panels/run';
import type { RunEvent } from '../../protocol/run';
import { RunSteps } from './runSteps';

/** Columns that an overview serves, up to eight steps in each: more than a chart has pixels. */
const overviewColumns = 800;
/** So many samples of the device are told of a long log. */
const mostDeviceSamples = 600;
/** A long log is shown as far as it is read this often. */
const showMs = 700;

const noSteps: StepColumns = {
  step: [],
  loss: [],
  smoothed: [],
  learningRate: [],
  gradNorm: [],
  tokensPerSecond: [],
  tokens: [],
};

/** Tells a part of the log; `reset` replaces what was told before. */
export type TellLog = (part: LogPart, reset: boolean) => void;

export class RunLog {
  #steps = new RunSteps();
  #others: OtherEvent[] = [];
  #position = 0;
  #whole = false;
  #reading: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(
    private readonly path: string,
    private readonly tell: TellLog,
  ) {}

  /** Reads on to the end of the log; calls meanwhile follow one another. */
  read(): Promise<void> {
    this.#reading = this.#reading.then(() => this.#readNow());
    return this.#reading;
  }

  /** Tells all that is known once more, for a page that was loaded again. */
  retell(): void {
    if (this.#whole) this.#tellAll();
  }

  /** All steps as text, a line each. */
  csv(): Iterable<string> {
    return this.#steps.csv();
  }

  end(): void {
    this.#ended = true;
  }

  async #readNow(): Promise<void> {
    let shownAt = performance.now();
    for await (const { events, nextByte } of readEventPieces(this.path, this.#position)) {
      if (this.#ended) return;
      this.#position = nextByte;
      if (this.#whole) {
        this.tell(this.#increment(events), false);
        continue;
      }
      for (const event of events) this.#take(event);
      if (performance.now() - shownAt > showMs) {
        this.#tellAll();
        shownAt = performance.now();
      }
    }
    if (this.#whole || this.#ended) return;
    this.#whole = true;
    this.#tellAll();
  }

  #take(event: RunEvent): boolean {
    const added = this.#steps.add(event);
    // What a run was doing at some moment is of no use later.
    if (event.type !== 'step' && event.type !== 'progress') this.#others.push(event);
    return added;
  }

  #tellAll(): void {
    const pieces = thinned(this.#others).map((event) => ({
      steps: noSteps,
      event: event as OtherEvent | null,
    }));
    this.tell({ pieces: [...pieces, { steps: this.#steps.overview(overviewColumns), event: null }] }, true);
  }

  /** Steps up to the next event, then the event. */
  #increment(events: readonly RunEvent[]): LogPart {
    return {
      pieces: events.flatMap((event): LogPart['pieces'] => {
        if (this.#take(event)) return [{ steps: this.#steps.newest(), event: null }];
        return event.type === 'step' ? [] : [{ steps: noSteps, event }];
      }),
    };
  }
}

/** The events with no more samples of the device than a chart can show; the newest is among them. */
function thinned(events: readonly OtherEvent[]): readonly OtherEvent[] {
  const samples = events.reduce((sum, { type }) => sum + (type === 'device' ? 1 : 0), 0);
  if (samples <= mostDeviceSamples) return events;
  const every = Math.ceil(samples / mostDeviceSamples);
  let left = samples;
  return events.filter(({ type }) => type !== 'device' || --left % every === 0);
}
