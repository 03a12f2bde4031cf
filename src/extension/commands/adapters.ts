// Commands about adapters.
import { copyFile, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as vscode from 'vscode';
import type { Command } from '../commands';
import { showText } from '../panels/fallback';
import { adapterTarget, baseOf, datasetTarget, pathOf } from './targets';

const exported =
  /^(adapter_config\.json|adapter_model\.(safetensors|bin)|README\.md|tokenizer.*|special_tokens_map\.json|chat_template\.jinja)$/;

export const adapterCommands: Readonly<Record<string, Command>> = {
  inspectAdapter: async (services, target) => {
    const path = pathOf(target) ?? (await adapterTarget(services, undefined))?.folder;
    if (path !== undefined) await services.panels.open('adapter', { path });
  },

  tryAdapter: async (services, target) => {
    if ((target as { kind?: unknown } | undefined)?.kind === 'model') {
      await services.panels.open('playground', { model: pathOf(target), adapters: [] });
      return;
    }
    const adapter = await adapterTarget(services, target);
    if (adapter === undefined) return;
    const model = await baseOf(adapter, services);
    if (model !== undefined) await services.panels.open('playground', { model, adapters: [adapter.folder] });
  },

  mergeAdapter: async (services, target) => {
    const adapter = await adapterTarget(services, target);
    const model = adapter && (await baseOf(adapter, services));
    if (adapter === undefined || model === undefined) return;
    const out = await vscode.window.showSaveDialog({
      title: vscode.l10n.t('A new folder for the merged model'),
      defaultUri: vscode.Uri.file(`${adapter.folder}-merged`),
    });
    if (out === undefined) return;
    const title = vscode.l10n.t('Merging {0}', adapter.name);
    const params = { model, adapter: adapter.folder, out: out.fsPath, device: 'auto', threads: 0 };
    const result = await services.calls.callWithProgress(title, 'merge', params);
    services.library.refreshSoon();
    const action = vscode.l10n.t('Show Folder');
    const text = vscode.l10n.t(
      'Merged {0} modules; the logits differ by at most {1}.',
      result.mergedModules,
      result.maxLogitDifference.toExponential(1),
    );
    if ((await vscode.window.showInformationMessage(text, action)) === action)
      await vscode.commands.executeCommand('revealFileInOS', out);
  },

  evaluate: async (services, target) => {
    const adapter = await adapterTarget(services, target);
    const model = adapter && (await baseOf(adapter, services));
    if (adapter === undefined || model === undefined) return;
    const data = await datasetTarget(services, undefined);
    if (data === undefined) return;
    const common = { model, data, maxLength: null, batchSize: 4, device: 'auto', threads: 0 };
    const rows: string[] = [];
    for (const folder of [null, adapter.folder]) {
      const name = folder === null ? vscode.l10n.t('base') : adapter.name;
      const title = vscode.l10n.t('Evaluating {0}', name);
      const result = await services.calls.callWithProgress(title, 'evaluate', {
        ...common,
        adapters: folder === null ? [] : [folder],
      });
      rows.push(
        `${name}: loss ${result.loss.toFixed(4)}, perplexity ${result.perplexity.toFixed(3)}, ${result.tokens} tokens`,
      );
    }
    await showText([data, '', ...rows].join('\n'));
  },

  exportAsPeft: async (services, target) => {
    const adapter = await adapterTarget(services, target);
    if (adapter === undefined) return;
    const out = await vscode.window.showSaveDialog({
      title: vscode.l10n.t('A new folder for the adapter'),
      defaultUri: vscode.Uri.file(join(adapter.folder, '..', `${adapter.name}-peft`)),
    });
    if (out === undefined) return;
    await mkdir(out.fsPath, { recursive: true });
    const present = await readdir(out.fsPath);
    if (present.length > 0)
      throw new Error(vscode.l10n.t('{0} is not empty. Choose a new or an empty folder.', out.fsPath));
    for (const name of await readdir(adapter.folder))
      if (exported.test(name)) await copyFile(join(adapter.folder, name), join(out.fsPath, name));
    services.library.refreshSoon();
  },
};
