// What was asked of the running call: over the parent's channel, by a signal, or through the control file of its run.
import type { JobCommand } from '../protocol/job';
import type { EngineHost, TrainerEvent } from '../protocol/trainer';
import { ControlFile } from './control';

/** A stat call is cheap, but the engine asks at every turn. */
const pollMs = 40;
const pauseMs = 100;

/** The requests of one process. */
export class Requests {
  stop = false;
  cancel = false;
  paused = false;
  #checkpoint = false;
  #files: ControlFile[] = [];
  #polled = 0;

  constructor(private readonly onPause: (paused: boolean) => void = () => {}) {}

  /** Takes commands from a folder's control file as well. */
  listen(folder: string, { fromNow }: { fromNow: boolean }): void {
    this.#files.push(new ControlFile(folder, { fromNow }));
  }

  /** Forgets what was asked of a call that has ended: a process that answers several must not stop the next one. */
  renew(): void {
    this.stop = false;
    this.cancel = false;
    this.#checkpoint = false;
    this.#files = [];
  }

  take(command: JobCommand): void {
    if (command === 'stop') this.stop = true;
    else if (command === 'cancel') this.cancel = true;
    else if (command === 'checkpoint') this.#checkpoint = true;
    else if (this.paused !== (command === 'pause')) {
      this.paused = command === 'pause';
      this.onPause(this.paused);
    }
  }

  /** Reads the control files. */
  poll(now = performance.now()): void {
    if (now - this.#polled < pollMs) return;
    this.#polled = now;
    for (const file of this.#files) for (const command of file.take()) this.take(command);
  }

  /** What the engine sees. A pause holds it where it asks whether to stop: once after each step. */
  host(emit: (event: TrainerEvent) => void): EngineHost {
    const requests = this;
    return {
      emit: (event) => {
        if (event.type === 'run-started') requests.listen(event.run, { fromNow: true });
        emit(event);
      },
      get stopRequested() {
        requests.poll();
        requests.#hold();
        return requests.stop;
      },
      get cancelRequested() {
        requests.poll();
        return requests.cancel;
      },
      takeCheckpointRequest() {
        requests.poll();
        const taken = requests.#checkpoint;
        requests.#checkpoint = false;
        return taken;
      },
    };
  }

  /** Blocks while paused: the process has nothing else to do, and the device's memory stays as it is. */
  #hold(): void {
    const cell = new Int32Array(new SharedArrayBuffer(4));
    while (this.paused && !this.stop && !this.cancel) {
      Atomics.wait(cell, 0, 0, pauseMs);
      this.poll();
    }
  }
}
