// An adapter as it lies on disk. Until it has a page of its own, its tensors are listed as text. It reads the file in this
// process, and starts none: an adapter may be looked at in a folder that is not trusted.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import { fallbackReadonlyEditor } from './fallback';
import type { Panel } from './registry';

async function describe(path: string): Promise<string> {
  const { inspectSafetensors } = await import('../engineParts');
  const { file, problems } = await inspectSafetensors(path);
  const tensors = [...file.tensors.values()].map(
    ({ name, dtype, shape }) => `${name}  ${dtype}  [${shape.join(', ')}]`,
  );
  return [
    ...problems.map(({ where, message }) => `${where}: ${message}`),
    `${tensors.length} tensors`,
    ...tensors,
  ].join('\n');
}

export const adapterPanel: Panel<'adapter'> = {
  register: () => [
    fallbackReadonlyEditor('loraWorkbench.adapter', describe),
    fallbackReadonlyEditor('loraWorkbench.tensors', describe),
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
