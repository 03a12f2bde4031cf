// The form of a recipe: an editor of its text. A new recipe starts from a template with what is known already.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import * as vscode from 'vscode';
import { freshRecipePath } from '../recipes/newRecipe';
import { ConfigureEditorProvider, configureViewType } from '../webviews/configureEditor';
import type { Panel } from './registry';

export const configurePanel: Panel<'configure'> = {
  register: (services) => [
    vscode.window.registerCustomEditorProvider(configureViewType, new ConfigureEditorProvider(services), {
      webviewOptions: { retainContextWhenHidden: true },
    }),
  ],

  async open({ recipe, model, dataset }) {
    const path = recipe ?? (await freshRecipePath());
    if (path === undefined) return;
    if (recipe === undefined) {
      const folder = dirname(path);
      const shown = (target: string | undefined): string =>
        target === undefined
          ? ''
          : ` ${JSON.stringify(relative(folder, target).replaceAll('\\', '/') || '.')}`;
      const lines = [
        '# A fine-tuning run. Every key but model and dataset has a default.',
        `model:${shown(model)}`,
        `dataset:${shown(dataset)}`,
        'adapter: lora',
        'r: 16',
        'lora_alpha: 32',
        'target_modules: all-linear',
        'learning_rate: 2.0e-4',
      ];
      await mkdir(folder, { recursive: true });
      await writeFile(path, `${lines.join('\n')}\n`, { flag: 'wx' });
    }
    await vscode.commands.executeCommand('vscode.openWith', vscode.Uri.file(path), configureViewType);
  },
};
