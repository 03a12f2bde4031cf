// The thread in which a dataset is read: requests with an id in, answers and news out.
import { parentPort, workerData } from 'node:worker_threads';
import { reportOf } from '../../engine/errors';
import { LensReader, type LensTask } from './lensReader';

export type ReaderRequest =
  | { id: number; method: 'rows'; from: number; count: number }
  | { id: number; method: 'problemRow'; from: number; back: boolean; problem: string | null }
  | { id: number; method: 'set'; task: LensTask }
  /** The file changed. */
  | { id: number; method: 'reload' };

const port = parentPort!;
const reader = new LensReader(workerData as LensTask, (news) => port.postMessage(news));

async function answer(request: ReaderRequest): Promise<unknown> {
  switch (request.method) {
    case 'rows':
      return reader.rows(request.from, request.count);
    case 'problemRow':
      return reader.problemRow(request.from, request.back, request.problem);
    case 'set':
      // The scan that follows goes on by itself.
      void reader.set(request.task);
      return undefined;
    case 'reload':
      void reader.start();
      return undefined;
  }
}

port.on('message', (request: ReaderRequest) => {
  answer(request).then(
    (result) => port.postMessage({ type: 'answer', id: request.id, result }),
    (cause: unknown) => port.postMessage({ type: 'answer', id: request.id, error: reportOf(cause) }),
  );
});
void reader.start();
