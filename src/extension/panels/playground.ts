// Base against adapter. Until it has a page of its own, one prompt is asked for and completed with both.
import * as vscode from 'vscode';
import { showText } from './fallback';
import type { Panel } from './registry';

export const playgroundPanel: Panel<'playground'> = {
  async open({ model, adapters }, services) {
    const found = services.library.contents.adapters.find(({ folder }) => adapters.includes(folder));
    const base = model ?? found?.baseFolder;
    if (base === undefined)
      throw new Error(vscode.l10n.t('The base model of this adapter is not on this machine.'));
    const prompt = await vscode.window.showInputBox({ prompt: vscode.l10n.t('A prompt to complete') });
    if (prompt === undefined) return;
    const texts: string[] = [];
    for (const list of [[], adapters]) {
      const { completions } = await services.calls.callWithProgress(vscode.l10n.t('Generating'), 'generate', {
        model: base,
        adapters: list,
        prompts: [prompt],
        chat: false,
        maxNewTokens: 128,
        temperature: 0,
        topP: 1,
        topK: 0,
        seed: 42,
        device: 'auto',
        threads: 0,
      });
      texts.push(`${list.length === 0 ? 'base' : 'adapter'}:\n${prompt}${completions[0]?.text ?? ''}`);
      if (adapters.length === 0) break;
    }
    await showText(texts.join('\n\n'));
  },
};
