// A second window on the workspace in which an earlier one left a training under way.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { suite, test } from 'mocha';
import * as vscode from 'vscode';
import type { Api } from '../../../src/extension/extension';
import { extension, isAlive, logOf, reaches, until, workspaceFolder } from '../support';

suite('a window that comes back', () => {
  let api: Api;

  test('finds the training alive and follows its steps', async () => {
    const pids: number[] = JSON.parse(readFileSync(join(dirname(workspaceFolder), 'pids.json'), 'utf8'));
    api = await extension();
    const run = await until('a live run', () =>
      api.services.runs.live.find(({ folder }) => folder !== undefined),
    );
    assert.equal(run.pid, pids.at(-1), 'the very process that the first window started');
    assert.ok(isAlive(run.pid!));
    assert.ok(run.job !== undefined, 'it is attached as a job');
    await until('further steps', () => api.services.runs.get(run.id)!.step > run.step + 3);
    const steps = logOf(run).flatMap((event) => (event.type === 'step' ? [event.step] : []));
    assert.deepEqual(
      steps,
      steps.map((_, i) => i + 1),
      'no step is missing from its events',
    );
  });

  test('steers and ends it, and leaves no process behind', async () => {
    const [run] = api.services.runs.live;
    await vscode.commands.executeCommand('loraWorkbench.stopRun', { kind: 'run', id: run!.id });
    const stopped = await reaches(api, run!.id, 'stopped');
    assert.ok(stopped.checkpoints.some(({ step }) => step === stopped.step));
    await until('the process is gone', () => !isAlive(run!.pid!));
    await until('the job is gone', () => api.services.runs.get(run!.id)?.job === undefined);
  });
});
