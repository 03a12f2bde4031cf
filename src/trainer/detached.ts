// A training without a parent: reads its request from the job's folder, waits for the device, trains, and leaves word of how
// it ended. It lives on when the window that started it closes.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { reportOf } from '../engine/errors';
import { EventLog } from '../engine/run/eventLog';
import { RunLock } from '../engine/run/runLock';
import { type JobEvent, type JobRequest, jobFiles } from '../protocol/job';
import type { EngineApi, TrainerEvent } from '../protocol/trainer';
import { tryDeviceLock, waitingText } from './deviceLock';
import { Requests } from './requests';
import { settled } from './settle';

/** Events that stand in the run's own log and are not repeated in the job's. */
const ofTheRun = new Set<TrainerEvent['type']>(['step', 'eval', 'sample', 'checkpoint', 'token']);
const waitMs = 300;

/** Runs the job of a folder; returns the exit code. */
export async function runJob(folder: string, train: EngineApi['train']): Promise<number> {
  const lock = RunLock.take(join(folder, jobFiles.lock));
  const log = EventLog.open(join(folder, jobFiles.events));
  const write = (event: JobEvent): void => log.append(event as Parameters<EventLog['append']>[0]);
  const say = (type: 'paused' | 'continued' | 'waiting', message: string): void =>
    write({ type, message, time: new Date().toISOString() });
  const requests = new Requests((paused) => say(paused ? 'paused' : 'continued', ''));
  requests.listen(folder, { fromNow: false });
  process.on('SIGTERM', () => requests.take('stop'));
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => {});

  let ended = false;
  let step: number | null = null;
  const host = requests.host((event) => {
    if (event.type === 'finished' || event.type === 'stopped' || event.type === 'failed') ended = true;
    if (event.type === 'step') step = event.step;
    if (!ofTheRun.has(event.type)) write(event as JobEvent);
  });
  const fail = (cause: unknown): void => {
    if (!ended) write({ type: 'failed', step, error: reportOf(cause), time: new Date().toISOString() });
    ended = true;
  };
  process.on('uncaughtException', (error) => {
    console.error(error);
    fail(error);
    process.exit(1);
  });

  try {
    const request = JSON.parse(readFileSync(join(folder, jobFiles.request), 'utf8')) as JobRequest;
    const params = await settled(request.params);
    const { device: name, output_dir } = params.recipe;
    const device = await waitForDevice(name, output_dir, requests, (message) => say('waiting', message));
    if (device === undefined) {
      write({ type: 'stopped', step: 0, checkpoint: null, result: null, time: new Date().toISOString() });
      return 0;
    }
    try {
      await train(params, host);
    } finally {
      device.release();
    }
    return 0;
  } catch (cause) {
    console.error(cause);
    fail(cause);
    return 1;
  } finally {
    log.close();
    lock.release();
  }
}

/** The device's lock as soon as it is free; undefined where the job was stopped meanwhile. */
async function waitForDevice(
  device: string,
  run: string,
  requests: Requests,
  tell: (message: string) => void,
): Promise<RunLock | undefined> {
  let told = 0;
  for (;;) {
    requests.poll();
    if (requests.stop || requests.cancel) return undefined;
    const lock = tryDeviceLock(device, run);
    if (lock instanceof RunLock) return lock;
    if (told !== lock.pid) tell(waitingText(device, lock));
    told = lock.pid;
    await new Promise((resume) => setTimeout(resume, waitMs));
  }
}
