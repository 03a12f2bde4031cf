// Commands about runs.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { jobFiles } from '../../protocol/job';
import type { Command } from '../commands';
import { resumeRun } from '../recipes/start';
import { isLive } from '../runs/runRecord';
import { live, resumable, runTarget } from './targets';

export const runCommands: Readonly<Record<string, Command>> = {
  resumeRun: async (services, target) => {
    const run = await runTarget(services, target, resumable);
    return run === undefined ? undefined : resumeRun(run, services);
  },

  pauseRun: async (services, target) => {
    const run = await runTarget(services, target, live);
    if (run !== undefined) services.jobs.command(run, run.state === 'paused' ? 'continue' : 'pause');
  },

  stopRun: async (services, target) => {
    const run = await runTarget(services, target, live);
    if (run !== undefined) services.jobs.command(run, 'stop');
  },

  killRun: async (services, target) => {
    const run = await runTarget(services, target, live);
    if (run !== undefined) services.jobs.kill(run);
  },

  checkpointNow: async (services, target) => {
    const run = await runTarget(services, target, live);
    if (run !== undefined) services.jobs.command(run, 'checkpoint');
  },

  openRun: async (services, target) => {
    const run = await runTarget(services, target);
    if (run !== undefined) await services.panels.open('run', { runs: [run.id] });
  },

  compareRuns: async (services, target) => {
    const first = await runTarget(services, target);
    if (first === undefined) return;
    const others = services.runs.all.filter(({ id, folder }) => id !== first.id && folder !== undefined);
    const chosen = await vscode.window.showQuickPick(
      others.map(({ id, name, state }) => ({ label: name, description: state, id })),
      { canPickMany: true, title: vscode.l10n.t('Compare {0} with', first.name) },
    );
    if (chosen !== undefined)
      await services.panels.open('run', { runs: [first.id, ...chosen.map(({ id }) => id)] });
  },

  openRunFolder: async (services, target) => {
    const run = await runTarget(services, target, ({ folder }) => folder !== undefined);
    if (run?.folder === undefined) return;
    const uri = vscode.Uri.file(run.folder);
    const inside = vscode.workspace.getWorkspaceFolder(uri) !== undefined;
    await vscode.commands.executeCommand(inside ? 'revealInExplorer' : 'revealFileInOS', uri);
  },

  removeRun: async (services, target) => {
    const run = await runTarget(services, target, ({ state }) => !isLive(state));
    if (run === undefined || isLive(run.state)) return;
    if (run.folder === undefined) {
      services.runs.removeJob(run.id);
      return;
    }
    // A remote machine has no trash.
    const useTrash = vscode.env.remoteName === undefined;
    const action = useTrash ? vscode.l10n.t('Move to Trash') : vscode.l10n.t('Delete');
    const text = useTrash
      ? vscode.l10n.t('Move the run {0} with its checkpoints and its adapter to the trash?', run.name)
      : vscode.l10n.t('Delete the run {0} with its checkpoints and its adapter?', run.name);
    if ((await vscode.window.showWarningMessage(text, { modal: true }, action)) !== action) return;
    await vscode.workspace.fs.delete(vscode.Uri.file(run.folder), { recursive: true, useTrash });
    await services.library.refresh();
  },

  showLog: async (services, target) => {
    const run = target === undefined ? undefined : await runTarget(services, target);
    const folder = run?.job ?? run?.folder;
    const file = folder === undefined ? undefined : join(folder, jobFiles.log);
    if (file !== undefined && existsSync(file)) await vscode.window.showTextDocument(vscode.Uri.file(file));
    else services.log.show();
  },
};
