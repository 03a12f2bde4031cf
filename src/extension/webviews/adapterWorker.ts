// The thread in which an adapter is read: one task in, news out. It keeps arithmetic off the thread that all extensions share.
import { parentPort, workerData } from 'node:worker_threads';
import { type AnalysisTask, analyse } from './adapterAnalysis';

const port = parentPort!;
analyse(workerData as AnalysisTask, (news) => port.postMessage(news)).catch((cause: unknown) => {
  const message = cause instanceof Error ? cause.message : String(cause);
  port.postMessage({ type: 'problem', problem: { where: (workerData as AnalysisTask).file, message } });
});
