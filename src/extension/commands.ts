// Every command: its name → what it does. Titles, icons and enablement stand in package.json.
import * as vscode from 'vscode';
import { adapterFormCommands } from './commands/adapterForms';
import { adapterCommands } from './commands/adapters';
import { machineCommands } from './commands/machine';
import { recipeCommands } from './commands/recipes';
import { runCommands } from './commands/runs';
import { workspaceCommands } from './commands/workspace';
import { tell } from './report';
import type { Services } from './services';
import { section } from './settings';

/** What a command is called with from a menu: the item or file that it was chosen on. */
export type Command = (services: Services, target?: unknown) => unknown;

export const commands: Readonly<Record<string, Command>> = {
  ...recipeCommands,
  ...runCommands,
  ...adapterCommands,
  ...adapterFormCommands,
  ...workspaceCommands,
  ...machineCommands,
};

/** Commands that start a process or use a configured path; VS Code disables them too, but keybindings and links get past it. */
const trustedOnly = new Set([
  'newFineTune',
  'runRecipe',
  'resumeRun',
  'pauseRun',
  'stopRun',
  'killRun',
  'checkpointNow',
  'estimateMemory',
  'mergeAdapter',
  'compareAdapters',
  'convertAdapter',
  'resizeAdapter',
  'extractAdapter',
  'tryAdapter',
  'evaluate',
  'removeRun',
  'doctor',
  'installCuda',
  'addFolder',
]);

/** Registers the table. A failure of any command is told in one place. */
export function registerCommands(services: Services): vscode.Disposable[] {
  return Object.entries(commands).map(([id, run]) =>
    vscode.commands.registerCommand(`${section}.${id}`, async (target?: unknown) => {
      if (trustedOnly.has(id) && !vscode.workspace.isTrusted) {
        void askForTrust();
        return undefined;
      }
      try {
        return await run(services, target);
      } catch (cause) {
        tell(cause, services.log);
        return undefined;
      }
    }),
  );
}

async function askForTrust(): Promise<void> {
  const action = vscode.l10n.t('Manage Workspace Trust');
  const text = vscode.l10n.t(
    'This folder is in Restricted Mode: nothing is started here until you trust it.',
  );
  if ((await vscode.window.showWarningMessage(text, action)) === action)
    await vscode.commands.executeCommand('workbench.trust.manage');
}
