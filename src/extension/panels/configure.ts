// The form of a recipe. Until it has one of its own, a recipe opens as text, and a new one starts from a template.
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, relative } from 'node:path';
import * as vscode from 'vscode';
import { freshRecipePath } from '../recipes/newRecipe';
import { fallbackTextEditor } from './fallback';
import type { Panel } from './registry';

export const configurePanel: Panel<'configure'> = {
  register: () => [fallbackTextEditor('loraWorkbench.configure')],

  async open({ recipe, model, dataset }) {
    const path = recipe ?? (await freshRecipePath());
    if (path === undefined) return;
    if (recipe === undefined) {
      const folder = dirname(path);
      const lines = [
        '# A fine-tuning run. Every key but model and dataset has a default.',
        `model: ${model === undefined ? '' : relative(folder, model) || '.'}`,
        `dataset: ${dataset === undefined ? '' : relative(folder, dataset)}`,
        'adapter: lora',
        'r: 16',
        'lora_alpha: 32',
        'target_modules: all-linear',
        'learning_rate: 2.0e-4',
      ];
      await mkdir(folder, { recursive: true });
      await writeFile(path, `${lines.join('\n')}\n`, { flag: 'wx' });
    }
    await vscode.window.showTextDocument(vscode.Uri.file(path));
  },
};
