// When a session's run becomes one CUDA graph: recorded from its stream and launched again as a whole, while nothing has changed
// that the graph has inside. Knows neither CUDA nor sessions; recording and launching are handed in.
//
// ONNX Runtime's own `enable_cuda_graph` is not used. It runs a program three times when it is first run (inference_session.cc:
// N warm-ups and the capture in one call), which adds gradients and moves parameters three times; it waits after every replay
// (cuda_graph.cc); it keeps a graph per thread, and runs here go to whichever thread is free; and it gives back at once the pinned
// tables that recorded copies of Concat and Split read (cuda_stream_handle.cc). Recorded on our own stream, a run is not executed,
// so that one that cannot be recorded is simply run.
import type { Pointer } from './ortApi';

/** A queue that records. */
export interface GraphQueue {
  beginCapture(): void;
  /** What was recorded; null where something happened meanwhile that cannot be. */
  endCapture(): Pointer | null;
  launch(graph: Pointer): void;
  freeGraph(graph: Pointer): void;
}

/** Runs before a recording: the first makes the runtime take its memory, the second finds it taken. */
export const warmUps = 2;

export class Capture {
  private graph: Pointer | undefined;
  private runs = 0;
  private epoch = -1;
  /** Recordings that came to nothing. */
  private failures = 0;

  /**
   * @param epochNow changes whenever memory may have been given out that a graph takes for its own between its nodes: then it is
   *   recorded anew.
   */
  constructor(
    private readonly queue: GraphQueue,
    private readonly epochNow: () => number,
  ) {}

  /** Whether the next run is a launch. */
  get recorded(): boolean {
    return this.graph !== undefined && this.epoch === this.epochNow();
  }

  /**
   * Runs once; tells whether as a graph.
   * @param run in the usual way.
   * @param runHere the same on this thread, so that nothing else gets into the recording. It raises what went wrong.
   */
  async go(run: () => Promise<void>, runHere: () => void): Promise<boolean> {
    if (this.graph !== undefined && !this.recorded) this.forget(warmUps - 1);
    if (this.graph === undefined && this.runs >= warmUps && this.failures < 2) this.record(runHere);
    if (this.graph !== undefined) {
      this.queue.launch(this.graph);
      return true;
    }
    this.runs++;
    await run();
    return false;
  }

  /** What a graph has inside has changed. @param runs as if so many had been since. */
  forget(runs = 0): void {
    if (this.graph !== undefined) this.queue.freeGraph(this.graph);
    this.graph = undefined;
    this.runs = Math.min(this.runs, runs);
  }

  private record(runHere: () => void): void {
    this.epoch = this.epochNow();
    let complete = false;
    let graph: Pointer | null = null;
    this.queue.beginCapture();
    try {
      runHere();
      complete = true;
    } catch {
      // Nothing was executed: the run follows in the usual way, and raises what is wrong with it.
    } finally {
      graph = this.queue.endCapture();
    }
    if (complete && graph !== null) {
      this.graph = graph;
      return;
    }
    if (graph !== null) this.queue.freeGraph(graph);
    this.failures++;
  }
}
