// What every panel may ask for: one of our commands, a file in the editor.
import * as vscode from 'vscode';
import { section } from '../settings';

/** Handlers of `CommonRequests`. */
export const commonRequests = {
  command: async ({ command, args }: { command: string; args?: readonly unknown[] }): Promise<undefined> => {
    if (!/^\w+$/.test(command)) throw new Error(`There is no command "${command}".`);
    await vscode.commands.executeCommand(`${section}.${command}`, ...(args ?? []));
    return undefined;
  },

  openFile: async ({ path, line }: { path: string; line?: number }): Promise<undefined> => {
    const at = new vscode.Position(Math.max(0, (line ?? 1) - 1), 0);
    const selection = line === undefined ? {} : { selection: new vscode.Range(at, at) };
    await vscode.window.showTextDocument(vscode.Uri.file(path), { preview: true, ...selection });
    return undefined;
  },
};
