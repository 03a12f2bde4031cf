// A dataset as the model sees it: rows as tokens, trained, masked or cut. Files are read in a thread of this process.
import { resolve } from 'node:path';
import * as vscode from 'vscode';
import { lensEditor, wantedRecipes } from '../webviews/lensEditor';
import type { Panel } from './registry';

export const lensPanel: Panel<'lens'> = {
  register: (services) => [lensEditor('loraWorkbench.lens', services)],

  async open({ dataset, recipe }) {
    const file = resolve(dataset);
    if (recipe !== undefined) wantedRecipes.set(file, recipe);
    await vscode.commands.executeCommand('vscode.openWith', vscode.Uri.file(file), 'loraWorkbench.lens', {
      preview: true,
    });
  },
};
