// Keeps count of what was started on a device and of how often the host waited for it. It decides who waits when; the waiting
// itself is the device's.
import { SessionError } from '../errors';
import type { GraphQueue } from './capture';
import type { Transfers } from './transfers';

/** Runs that a message names. */
const named = 4;

export class Pace {
  waits = 0;
  /** How often memory was given out for good: a recorded run may have used it in passing. */
  allocations = 0;
  /** Things started so far, and how many of them are over. */
  private started = 0;
  private over = 0;
  /** The newest wait, over or not. */
  private waiting: { upTo: number; end: Promise<void> } | undefined;
  /** What runs since the last wait. */
  private underway: string[] = [];

  /** @param transfers undefined on the CPU, where everything is over at once; what would have been waited for is counted. */
  constructor(private readonly transfers: Transfers | undefined) {}

  /** Whether the host goes on without waiting for what it starts. */
  get queued(): boolean {
    return this.transfers?.queued ?? true;
  }

  /** Records runs, where the device can. */
  get graphs(): GraphQueue | undefined {
    const { transfers } = this;
    return transfers?.beginCapture ? (transfers as Transfers & GraphQueue) : undefined;
  }

  /** Something was started; returns its number. */
  start(what?: string): number {
    if (what !== undefined) this.underway.push(what);
    // A run of its own waits for itself.
    if (!this.queued) this.waits++;
    return ++this.started;
  }

  /** Waits until the thing of that number, and all before it, is over. */
  async reach(number = this.started): Promise<void> {
    if (this.over >= number || !this.queued) return;
    // A wait that began later than the thing is one for it too.
    if (!this.waiting || this.waiting.upTo < number)
      this.waiting = { upTo: this.started, end: this.waited(this.started) };
    await this.waiting.end;
  }

  private async waited(upTo: number): Promise<void> {
    this.waits++;
    try {
      await this.transfers?.wait();
      this.passed(upTo);
    } catch (error) {
      throw this.blamed(error);
    }
  }

  /** The same on the event loop, before something is taken apart. What failed is raised by the next wait. */
  reachNow(): void {
    if (this.over >= this.started || !this.queued) return;
    this.waits++;
    try {
      this.transfers?.waitNow();
    } catch {
      return;
    }
    this.passed(this.started);
  }

  /** A copy to the host that waits: everything before it is over. */
  fetchNow(copy: () => void): void {
    this.waits++;
    try {
      copy();
    } catch (error) {
      throw this.blamed(error);
    }
    this.passed(this.started);
  }

  private passed(upTo: number): void {
    this.over = Math.max(this.over, upTo);
    if (this.over === this.started) this.underway = [];
  }

  /** What the device says late, with what it can be about. */
  private blamed(error: unknown): unknown {
    if (!(error instanceof SessionError) || this.underway.length === 0) return error;
    const last = this.underway.slice(-named).join(', ');
    return new SessionError({
      code: error.code,
      message: `${error.message} Under way: ${this.underway.length > named ? '…, ' : ''}${last}.`,
      remedy: error.remedy,
      ...(error.facts ? { facts: error.facts } : {}),
      cause: error,
    });
  }
}
