// "Run · Estimate · Open form" above a recipe.
import * as vscode from 'vscode';
import type { Services } from '../services';

export class RecipeLens implements vscode.CodeLensProvider {
  constructor(private readonly services: Services) {}

  provideCodeLenses(document: vscode.TextDocument): vscode.CodeLens[] {
    if (!this.services.settings.codeLens) return [];
    const top = new vscode.Range(0, 0, 0, 0);
    const lens = (title: string, command: string): vscode.CodeLens =>
      new vscode.CodeLens(top, { title, command: `loraWorkbench.${command}`, arguments: [document.uri] });
    const { l10n } = vscode;
    return [
      lens(`$(play) ${l10n.t('Run')}`, 'runRecipe'),
      lens(l10n.t('Estimate'), 'estimateMemory'),
      lens(l10n.t('Open form'), 'openForm'),
    ];
  }
}
