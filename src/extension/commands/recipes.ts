// Commands about recipes.
import * as vscode from 'vscode';
import type { Command } from '../commands';
import { showText } from '../panels/fallback';
import { startRecipe } from '../recipes/start';
import { formatBytes } from '../words';
import { pathOf, recipeTarget } from './targets';

export const recipeCommands: Readonly<Record<string, Command>> = {
  newFineTune: async (services, target) => {
    if (vscode.workspace.workspaceFolders === undefined) {
      await vscode.commands.executeCommand('loraWorkbench.openSampleWorkspace');
      return;
    }
    const path = pathOf(target);
    const kind = (target as { kind?: unknown } | undefined)?.kind;
    const { models, datasets } = services.library.contents;
    await services.panels.open('configure', {
      model: kind === 'model' ? path : models.length === 1 ? models[0]?.folder : undefined,
      dataset: kind === 'dataset' ? path : datasets.length === 1 ? datasets[0]?.file : undefined,
    });
  },

  /** Returns the run's record at its start. */
  runRecipe: async (services, target) => {
    const recipe = await recipeTarget(services, target);
    return recipe === undefined ? undefined : startRecipe(recipe, services);
  },

  estimateMemory: async (services, target) => {
    const path = await recipeTarget(services, target);
    if (path === undefined) return undefined;
    const { loadRecipe, catalogue } = await import('../engineParts');
    const { recipe, notes } = loadRecipe(path, catalogue);
    const title = vscode.l10n.t('Estimating memory');
    const estimate = await services.calls.callWithProgress(title, 'estimate', { recipe, notes });
    const parts = Object.entries(estimate.parts).map(
      ([part, bytes]) => `${part.padEnd(12)} ${formatBytes(bytes)}`,
    );
    const changes = estimate.suggestions.map(
      ({ change, totalBytes }) => `${change}: ${formatBytes(totalBytes)}`,
    );
    const verdict = estimate.fits ? vscode.l10n.t('It fits.') : vscode.l10n.t('It does not fit.');
    const total = `${formatBytes(estimate.deviceBytes)} / ${formatBytes(estimate.availableBytes)}`;
    const beside =
      estimate.availableHostBytes === null
        ? []
        : [
            `${vscode.l10n.t('System memory')} ${formatBytes(estimate.hostBytes)} / ${formatBytes(estimate.availableHostBytes)}`,
          ];
    const own = estimate.context === null ? [] : [contextSentence(estimate.context)];
    await showText(
      [path, '', `${total}. ${verdict}`, ...beside, '', ...parts, ...own, '', ...changes].join('\n'),
    );
    return estimate;
  },

  openForm: async (services, target) => {
    const recipe = await recipeTarget(services, target);
    if (recipe === undefined) return;
    await vscode.commands.executeCommand(
      'vscode.openWith',
      vscode.Uri.file(recipe),
      'loraWorkbench.configure',
    );
  },

  openAsText: async (services, target) => {
    const recipe = await recipeTarget(services, target);
    if (recipe !== undefined)
      await vscode.commands.executeCommand('vscode.openWith', vscode.Uri.file(recipe), 'default');
  },
};

/** What of the workspace is CUDA's, and how that is known. */
function contextSentence({ bytes, measured }: { bytes: number; measured: boolean }): string {
  return measured
    ? vscode.l10n.t('Of the workspace CUDA itself takes {0}, as a run here measured it.', formatBytes(bytes))
    : vscode.l10n.t(
        'Of the workspace CUDA itself takes {0}, an estimate until a run here has measured it.',
        formatBytes(bytes),
      );
}
