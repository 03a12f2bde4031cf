// Where a new recipe goes: the first free name in the workspace.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as vscode from 'vscode';

/** A free path in the workspace folder, asked for where there are several; undefined where the user gave up. */
export async function freshRecipePath(name = 'fine-tune'): Promise<string | undefined> {
  const folders = vscode.workspace.workspaceFolders ?? [];
  const folder = folders.length > 1 ? await vscode.window.showWorkspaceFolderPick() : folders[0];
  if (folder === undefined) return undefined;
  for (let number = 1; ; number++) {
    const path = join(folder.uri.fsPath, `${name}${number === 1 ? '' : `-${number}`}.lora.yaml`);
    if (!existsSync(path)) return path;
  }
}
