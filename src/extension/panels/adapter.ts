// An adapter as it lies on disk: facts, health, where it changed the model. It reads files in this process's own thread for
// that and starts no process: an adapter may be looked at in a folder that is not trusted.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { adapterEditor } from '../webviews/adapterEditor';
import type { Panel } from './registry';

export const adapterPanel: Panel<'adapter'> = {
  register: (services) => [
    adapterEditor('loraWorkbench.adapter', services),
    adapterEditor('loraWorkbench.tensors', services),
  ],

  async open({ path }) {
    const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
    const file = isFolder ? join(path, 'adapter_model.safetensors') : path;
    const viewType = file.endsWith('adapter_model.safetensors')
      ? 'loraWorkbench.adapter'
      : 'loraWorkbench.tensors';
    await vscode.commands.executeCommand('vscode.openWith', vscode.Uri.file(file), viewType);
  },
};
