// The editor's end of the thread that reads a dataset.
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { ErrorReport } from '../../protocol/errors';
import type { LensTask, ReaderNews } from './lensReader';
import type { ReaderRequest } from './lensWorker';

type Answer = { type: 'answer'; id: number; result?: unknown; error?: ErrorReport };
type Wanted = ReaderRequest extends infer R ? (R extends ReaderRequest ? Omit<R, 'id'> : never) : never;

export class LensThread {
  readonly #worker: Worker;
  readonly #waiting = new Map<
    number,
    { resolve: (value: unknown) => void; reject: (error: Error) => void }
  >();
  #nextId = 1;

  constructor(task: LensTask, onNews: (news: ReaderNews) => void, onFault: (error: Error) => void) {
    this.#worker = new Worker(join(__dirname, 'lensWorker.js'), { workerData: task });
    this.#worker.on('message', (message: ReaderNews | Answer) => {
      if (message.type !== 'answer') {
        onNews(message);
        return;
      }
      const call = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if (message.error === undefined) call?.resolve(message.result);
      else call?.reject(new Error(message.error.message));
    });
    this.#worker.on('error', (error) => {
      onFault(error);
      for (const { reject } of this.#waiting.values()) reject(error);
      this.#waiting.clear();
    });
  }

  ask<T>(request: Wanted): Promise<T> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#worker.postMessage({ ...request, id });
    });
  }

  end(): void {
    void this.#worker.terminate();
  }
}
