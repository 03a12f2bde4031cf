// The trainer process: answers one request after another over its IPC channel with the engine behind it. A fault of native
// code ends this process and nothing else. It ends with its parent, so that no trainer is left behind.

import * as engine from '../engine/api';
import { UserError } from '../engine/errors';
import type { ErrorReport } from '../protocol/errors';
import type { ChildMessage, EngineApi, EngineHost, ParentMessage, TrainerMethod } from '../protocol/trainer';

const api: EngineApi = engine;
let stopRequested = false;
let cancelRequested = false;
let checkpointRequested = false;
let running = 0;

function send(message: ChildMessage): void {
  // A parent that is gone is noticed through `disconnect`.
  if (process.connected) process.send?.(message, undefined, undefined, () => {});
}

function hostOf(id: number): EngineHost {
  return {
    emit: (event) => send({ kind: 'event', id, event }),
    get stopRequested() {
      return stopRequested;
    },
    get cancelRequested() {
      return cancelRequested;
    },
    takeCheckpointRequest() {
      const taken = checkpointRequested;
      checkpointRequested = false;
      return taken;
    },
  };
}

/** The report of any failure; what is no UserError is our fault. */
function reportOf(cause: unknown): ErrorReport {
  if (cause instanceof UserError) return cause.toReport();
  const error = cause instanceof Error ? cause : new Error(String(cause));
  return {
    code: 'internal-error',
    message: error.message,
    remedy: 'Please report this with the text above and the recipe.',
    facts: { stack: error.stack ?? null },
  };
}

async function answer(id: number, method: TrainerMethod, params: unknown): Promise<void> {
  running++;
  try {
    // The pair of method and parameters is typed where the parent sends it.
    const call = api[method] as (params: unknown, host: EngineHost) => Promise<unknown>;
    send({ kind: 'result', id, result: await call(params, hostOf(id)) });
  } catch (cause) {
    send({ kind: 'error', id, error: reportOf(cause) });
  } finally {
    running--;
  }
}

process.on('message', (message: ParentMessage) => {
  if (message.kind === 'request') void answer(message.id, message.method, message.params);
  else if (message.command === 'stop') stopRequested = true;
  else if (message.command === 'cancel') cancelRequested = true;
  else checkpointRequested = true;
});
process.on('disconnect', () => process.exit(0));
// Ctrl+C reaches the whole group; the parent decides what it means.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => {
  if (running === 0) process.exit(143);
  stopRequested = true;
});

if (process.send === undefined) {
  console.error(
    'This program is started by lora-workbench and is no command of its own. Run lora-workbench --help.',
  );
  process.exit(2);
}
