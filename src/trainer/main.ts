// The trainer process. With a parent it answers one request after another over the IPC channel and ends with that parent, so
// that none is left behind; with `--detached <job folder>` it trains by itself (detached.ts). A fault of native code ends
// this process and nothing else.

import * as engine from '../engine/api';
import { reportOf } from '../engine/errors';
import type { RunLock } from '../engine/run/runLock';
import type {
  ChildMessage,
  EngineApi,
  EngineHost,
  ParentMessage,
  TrainerMethod,
  TrainParams,
} from '../protocol/trainer';
import { runJob } from './detached';
import { takeDevice } from './deviceLock';
import { Requests } from './requests';
import { settled } from './settle';

const api: EngineApi = engine;

function serveParent(): void {
  const requests = new Requests();
  let running = 0;

  const send = (message: ChildMessage): void => {
    // A parent that is gone is noticed through `disconnect`.
    if (process.connected) process.send?.(message, undefined, undefined, () => {});
  };

  const answer = async (id: number, method: TrainerMethod, given: unknown): Promise<void> => {
    if (running++ === 0) requests.renew();
    let device: RunLock | undefined;
    try {
      const params = method === 'doctor' ? given : await settled(given);
      if (method === 'train') {
        const { recipe } = params as TrainParams;
        device = takeDevice(recipe.device, recipe.output_dir);
      }
      // The pair of method and parameters is typed where the parent sends it.
      const call = api[method] as (params: unknown, host: EngineHost) => Promise<unknown>;
      const host = requests.host((event) => send({ kind: 'event', id, event }));
      send({ kind: 'result', id, result: await call(params, host) });
    } catch (cause) {
      send({ kind: 'error', id, error: reportOf(cause) });
    } finally {
      device?.release();
      running--;
    }
  };

  process.on('message', (message: ParentMessage) => {
    if (message.kind === 'request') void answer(message.id, message.method, message.params);
    else requests.take(message.command);
  });
  process.on('disconnect', () => process.exit(0));
  // Ctrl+C reaches the whole group; the parent decides what it means.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => {
    if (running === 0) process.exit(143);
    requests.take('stop');
  });
}

const [mode, folder] = process.argv.slice(2);
if (mode === '--detached' && folder !== undefined) {
  void runJob(folder, api.train).then((code) => process.exit(code));
} else if (process.send !== undefined) {
  serveParent();
} else {
  console.error(
    'This program is started by lora-workbench and is no command of its own. Run lora-workbench --help.',
  );
  process.exit(2);
}
