// Commands about the workspace and this machine.

import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, relative } from 'node:path';
import * as vscode from 'vscode';
import type { Command } from '../commands';
import { section } from '../settings';
import { datasetTarget, pathOf } from './targets';

export const workspaceCommands: Readonly<Record<string, Command>> = {
  refresh: (services) => services.library.refresh(),

  addFolder: async () => {
    const chosen = await vscode.window.showOpenDialog({
      canSelectFiles: false,
      canSelectFolders: true,
      canSelectMany: true,
      title: vscode.l10n.t('Folders to look in'),
    });
    if (chosen === undefined) return;
    const settings = vscode.workspace.getConfiguration(section);
    const folders = [...settings.get<string[]>('folders', []), ...chosen.map(({ fsPath }) => fsPath)];
    await settings.update('folders', [...new Set(folders)], vscode.ConfigurationTarget.Global);
  },

  openDataset: async (services, target) => {
    const dataset = await datasetTarget(services, target);
    if (dataset !== undefined) await services.panels.open('lens', { dataset });
  },

  doctor: (services) => services.panels.open('machine', {}),

  /**
   * The sample is copied into a folder of its own, for runs are written beside it; one that is there is opened as it is.
   * A path as target says where, and only the copy is made: the caller opens it.
   */
  openSampleWorkspace: async (services, target) => {
    const given = pathOf(target);
    const parent = given ?? (await chooseParent());
    if (parent === undefined) return undefined;
    const folder = join(parent, 'lora-workbench-sample');
    if (!existsSync(folder)) {
      const source = join(services.context.extensionUri.fsPath, 'samples');
      // A copy that ends half-way is not taken for the sample.
      await mkdir(parent, { recursive: true });
      const aside = await mkdtemp(`${folder}.`);
      try {
        await cp(source, aside, { recursive: true, filter: (path) => isSample(source, path) });
        await rename(aside, folder);
      } finally {
        await rm(aside, { recursive: true, force: true });
      }
    }
    if (given === undefined)
      await vscode.commands.executeCommand('vscode.openFolder', vscode.Uri.file(folder), {
        forceNewWindow: vscode.workspace.workspaceFolders !== undefined,
      });
    return folder;
  },
};

async function chooseParent(): Promise<string | undefined> {
  const chosen = await vscode.window.showOpenDialog({
    canSelectFiles: false,
    canSelectFolders: true,
    title: vscode.l10n.t('Where to put the sample'),
    openLabel: vscode.l10n.t('Copy Sample Here'),
    defaultUri: vscode.Uri.file(homedir()),
  });
  return chosen?.[0]?.fsPath;
}

/** What makes the sample stays behind. */
function isSample(source: string, path: string): boolean {
  return !/\.mjs$|^(story|runs|pretrain.*)$/.test(relative(source, path));
}
