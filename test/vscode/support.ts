// What the suites share: the extension's services, waiting for something to become true, the processes that were started.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import * as vscode from 'vscode';
import { readEvents } from '../../src/engine/run/eventLog';
import type { Api } from '../../src/extension/extension';
import type { RunRecord } from '../../src/extension/runs/runRecord';
import type { RunEvent } from '../../src/protocol/run';

export const workspaceFolder = process.env.LORA_WORKSPACE!;

/** A path in the test workspace. */
export function at(...parts: string[]): string {
  return join(workspaceFolder, ...parts);
}

export function uri(...parts: string[]): vscode.Uri {
  return vscode.Uri.file(at(...parts));
}

/** The extension, active and past its first look around. */
export async function extension(): Promise<Api> {
  const found = vscode.extensions.getExtension<Api>('lora-workbench.lora-workbench');
  if (found === undefined) throw new Error('the extension is not there');
  const api = await found.activate();
  await api.settled;
  return api;
}

/** Waits until something is true, and gives it back. */
export async function until<T>(
  what: string,
  get: () => T | undefined | false | Promise<T | undefined | false>,
): Promise<T> {
  for (let turn = 0; turn < 1200; turn++) {
    const value = await get();
    if (value) return value;
    await new Promise((resume) => setTimeout(resume, 50));
  }
  throw new Error(`never: ${what}`);
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    // A child that nobody has waited for yet is dead all the same.
    return !/^State:\s+Z/m.test(
      existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, 'utf8') : '',
    );
  } catch {
    return false;
  }
}

/** Keeps a process in mind, so that the run of all suites can end it if a test did not. */
export function remember(pid: number | undefined): number {
  if (pid === undefined) throw new Error('no process');
  const file = join(dirname(workspaceFolder), 'pids.json');
  const list: number[] = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : [];
  writeFileSync(file, JSON.stringify([...list, pid]));
  return pid;
}

/** Starts a recipe and waits until its run has made some steps. */
export async function startAndStep(api: Api, recipe: string, steps: number): Promise<RunRecord> {
  const started = await vscode.commands.executeCommand<RunRecord>('loraWorkbench.runRecipe', uri(recipe));
  const { runs } = api.services;
  const run = await until(`${recipe} at step ${steps}`, () => {
    const failed = runs.get(started.id);
    if (failed?.error) throw new Error(failed.error.message);
    return runs.all.find(({ job, step }) => job === started.job && step >= steps);
  });
  remember(run.pid);
  return run;
}

/** The whole log of a run. */
export function logOf({ folder }: RunRecord): RunEvent[] {
  return folder === undefined ? [] : readEvents(join(folder, 'events.jsonl')).events;
}

/** A run in the state that one waits for. */
export function reaches(api: Api, id: string, state: RunRecord['state']): Promise<RunRecord> {
  return until(`${id} ${state}`, () => {
    const run = api.services.runs.get(id);
    return run?.state === state && run;
  });
}
