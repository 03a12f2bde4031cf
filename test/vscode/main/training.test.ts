// Real trainings, from the command to the adapter: finished, checkpointed, paused, stopped, killed, resumed, queued.
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite, suiteSetup, suiteTeardown, test } from 'mocha';
import * as vscode from 'vscode';
import { readEvents } from '../../../src/engine/run/eventLog';
import type { Api } from '../../../src/extension/extension';
import { isLive, type RunRecord } from '../../../src/extension/runs/runRecord';
import { at, extension, isAlive, logOf, reaches, remember, startAndStep, until, uri } from '../support';

suite('training', () => {
  let api: Api;
  suiteSetup(async () => {
    api = await extension();
  });
  suiteTeardown(() => {
    for (const run of api.services.runs.live) api.services.jobs.kill(run);
  });

  const command = (name: string, run: { id: string }): Thenable<unknown> =>
    vscode.commands.executeCommand(`loraWorkbench.${name}`, { kind: 'run', id: run.id });

  test('a recipe becomes a run with events, and the run an adapter in the tree', async () => {
    const run = await startAndStep(api, 'tiny.lora.yaml', 1);
    assert.equal(run.folder, at('runs/tiny'));
    const finished = await reaches(api, run.id, 'finished');
    assert.equal(finished.step, 6);
    assert.ok(Number.isFinite(finished.evalLoss));
    const types = logOf(run).map(({ type }) => type);
    assert.equal(types.filter((type) => type === 'step').length, 6);
    assert.equal(types.at(-1), 'finished');
    assert.ok(existsSync(at('runs/tiny/adapter/adapter_model.safetensors')));
    const adapter = await until('the adapter is listed', () =>
      api.services.library.contents.adapters.find(({ folder }) => folder === at('runs/tiny/adapter')),
    );
    assert.equal(adapter.run, at('runs/tiny'));
    assert.equal(adapter.baseFolder, at('models/tiny'));
    await until('the trainer is gone', () => !isAlive(run.pid!));
    await until('the job is cleared away', () => jobFolders(api).length === 0);
  });

  test('news reach listeners while it runs; checkpoint, pause, continue, stop and save do what they say', async () => {
    const seen: number[] = [];
    const listener = api.services.runs.onDidReceiveEvents(({ events }) => {
      for (const event of events) if (event.type === 'step') seen.push(event.step);
    });
    const run = await startAndStep(api, 'long.lora.yaml', 2);
    await command('checkpointNow', run);
    await until('the checkpoint that was asked for', () =>
      logOf(run).some((event) => event.type === 'checkpoint' && event.reason === 'asked'),
    );
    await command('pauseRun', run);
    const paused = await reaches(api, run.id, 'paused');
    await api.services.runs.readOn(run.id);
    const { step } = api.services.runs.get(run.id)!;
    await new Promise((resume) => setTimeout(resume, 700));
    assert.ok(api.services.runs.get(run.id)!.step <= step + 1, 'it holds');
    await command('pauseRun', paused);
    await until('it goes on', () => api.services.runs.get(run.id)!.step > step + 3);
    await command('stopRun', run);
    const stopped = await reaches(api, run.id, 'stopped');
    assert.ok(existsSync(join(run.folder!, `checkpoints/step-${stopped.step}`)), 'what was trained is saved');
    await until('no process is left', () => !isAlive(run.pid!));
    listener.dispose();
    assert.ok(
      seen.length > 2 && seen.every((value, i) => i === 0 || value > seen[i - 1]!),
      'each step once, in order',
    );
  });

  test('a stopped run goes on where it stopped', async () => {
    const stopped = api.services.runs.get(at('runs/long'))!;
    const resumed = (await command('resumeRun', stopped)) as RunRecord;
    const run = await until('it trains again', () => {
      const now = api.services.runs.get(at('runs/long'));
      return (
        now !== undefined &&
        now.job === resumed.job &&
        now.state === 'running' &&
        now.step > stopped.step &&
        now
      );
    });
    remember(run.pid);
    const from = logOf(run)
      .filter((event) => event.type === 'run-started')
      .at(-1);
    assert.equal(from?.resumedFromStep, stopped.step);
    await command('stopRun', run);
    await reaches(api, run.id, 'stopped');
  });

  test('a trainer that is killed leaves a failed run with its cause and a log, and resuming helps', async () => {
    const run = await startAndStep(api, 'long.lora.yaml', 6);
    const pid = run.pid!;
    await until('a checkpoint', () => api.services.runs.get(run.id)!.checkpoints.length > 0);
    process.kill(pid, 'SIGKILL');
    const failed = await reaches(api, run.id, 'failed');
    assert.equal(failed.error?.code, 'trainer-died');
    assert.match(failed.error?.message ?? '', /SIGKILL/);
    assert.match(failed.error?.remedy ?? '', /resume/);
    const last = await until('the end stands in the log on disk', () => {
      const { events } = readEvents(join(run.folder!, 'events.jsonl'));
      return events.at(-1)?.type === 'failed' && events.at(-1);
    });
    assert.equal(last.type, 'failed');
    assert.ok(existsSync(join(run.folder!, 'trainer.log')));
    await command('resumeRun', failed);
    const again = await until('it trains again', () => {
      const now = api.services.runs.get(run.id);
      return now?.state === 'running' && now.pid !== pid && now.step > failed.checkpoints[0]!.step && now;
    });
    remember(again.pid);
    await command('killRun', again);
    const ended = await reaches(api, run.id, 'failed');
    assert.match(ended.error?.message ?? '', /from the editor/);
    await until('no process is left', () => !isAlive(again.pid!));
  });

  test('a second run waits for the device, and can be stopped while it waits', async () => {
    const first = await startAndStep(api, 'long.lora.yaml', 1);
    const second = await vscode.commands.executeCommand<RunRecord>(
      'loraWorkbench.runRecipe',
      uri('tiny.lora.yaml'),
    );
    const waiting = await reaches(api, second.id, 'waiting');
    assert.match(waiting.phase ?? '', new RegExp(`process ${first.pid}\\b`, 'i'));
    await command('stopRun', waiting);
    await until('it is gone', () => api.services.runs.get(second.id) === undefined);
    await command('stopRun', first);
    await reaches(api, first.id, 'stopped');
    await until('no job is left', () => jobFolders(api).length === 0);
    assert.deepEqual(
      api.services.runs.all.filter(({ state }) => isLive(state)),
      [],
    );
  });

  test('a run that cannot start says why', async () => {
    const bad = at('bad-data.lora.yaml');
    const text = readFileSync(at('tiny.lora.yaml'), 'utf8').replace('data/train.jsonl', 'data/empty.jsonl');
    await vscode.workspace.fs.writeFile(vscode.Uri.file(bad), new TextEncoder().encode(text));
    const started = await vscode.commands.executeCommand<RunRecord>(
      'loraWorkbench.runRecipe',
      vscode.Uri.file(bad),
    );
    const failed = await reaches(api, started.id, 'failed');
    assert.match(failed.error?.message ?? '', /empty\.jsonl/);
    await vscode.workspace.fs.delete(vscode.Uri.file(bad));
  });

  test('a task runs a recipe and ends with it', async () => {
    const tasks = await vscode.tasks.fetchTasks({ type: 'lora-workbench' });
    const task = tasks.find(({ definition }) => definition.recipe === 'tiny.lora.yaml')!;
    const ended = new Promise<void>((resolve) => {
      const listener = vscode.tasks.onDidEndTask(({ execution }) => {
        if (execution.task.name !== task.name) return;
        listener.dispose();
        resolve();
      });
    });
    await vscode.tasks.executeTask(task);
    await ended;
    await until('its run is finished', () =>
      api.services.runs.all.some(({ name, state }) => name === 'tiny-2' && state === 'finished'),
    );
  });
});

/** The folders of jobs that have not been given their end. */
function jobFolders(api: Api): string[] {
  const folder = join(api.services.context.globalStorageUri.fsPath, 'jobs');
  return existsSync(folder) ? readdirSync(folder) : [];
}
