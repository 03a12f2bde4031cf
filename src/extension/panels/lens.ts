// A dataset as the model sees it. Until it has a page of its own, the file opens as text.
import * as vscode from 'vscode';
import { fallbackReadonlyEditor } from './fallback';
import type { Panel } from './registry';

export const lensPanel: Panel<'lens'> = {
  register: () => [
    fallbackReadonlyEditor('loraWorkbench.lens', async (path) => {
      const bytes = await vscode.workspace.fs.readFile(vscode.Uri.file(path));
      return new TextDecoder().decode(bytes.subarray(0, 100_000));
    }),
  ],

  async open({ dataset }) {
    await vscode.commands.executeCommand('vscode.openWith', vscode.Uri.file(dataset), 'loraWorkbench.lens');
  },
};
