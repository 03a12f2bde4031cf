// Commands about the workspace and this machine.

import { existsSync } from 'node:fs';
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { Command } from '../commands';
import { section } from '../settings';
import { datasetTarget } from './targets';

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

  /** The sample is copied, for runs are written beside it. */
  openSampleWorkspace: async (services) => {
    const target = join(services.context.globalStorageUri.fsPath, 'sample');
    if (!existsSync(target)) {
      const source = join(services.context.extensionUri.fsPath, 'samples');
      await cp(source, join(target, 'samples'), { recursive: true });
    }
    await vscode.commands.executeCommand('vscode.openFolder', vscode.Uri.file(target), {
      forceNewWindow: false,
    });
  },
};
