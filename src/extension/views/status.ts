// The one status bar item, shown while something runs, the badge on the view, and the word when a run has ended.
import * as vscode from 'vscode';
import { shortText } from '../report';
import type { JobEnd } from '../runs/jobs';
import { isLive, type RunRecord } from '../runs/runRecord';
import type { Services } from '../services';
import { formatLoss, runTooltip, shortState } from '../words';

/** Keeps status bar, badge and context key true. */
export function showStatus(services: Services, view: vscode.TreeView<unknown>): vscode.Disposable {
  const item = vscode.window.createStatusBarItem('loraWorkbench.run', vscode.StatusBarAlignment.Left, 50);
  item.name = 'LoRA Workbench';
  let running: boolean | undefined;
  const update = (): void => {
    const { live } = services.runs;
    // One that waits says less than one that trains.
    const first = live.find(({ state }) => state !== 'waiting') ?? live[0];
    if (running !== live.length > 0) {
      running = live.length > 0;
      void vscode.commands.executeCommand('setContext', 'loraWorkbench.running', running);
    }
    view.badge =
      live.length === 0
        ? undefined
        : { value: live.length, tooltip: vscode.l10n.t('{0} running', live.length) };
    if (first === undefined) item.hide();
    else {
      showRun(item, first, live.length - 1);
      item.show();
    }
  };
  const subscription = services.runs.onDidChange(update);
  update();
  return vscode.Disposable.from(item, subscription);
}

function showRun(item: vscode.StatusBarItem, run: RunRecord, others: number): void {
  const icon = run.state === 'paused' ? 'debug-pause' : run.state === 'waiting' ? 'watch' : 'sync~spin';
  const loss = run.loss === undefined ? '' : vscode.l10n.t(', loss {0}', formatLoss(run.loss));
  const more = others === 0 ? '' : ` +${others}`;
  item.text = `$(${icon}) ${run.name} ${shortState(run)}${loss}${more}`;
  item.tooltip = runTooltip(run);
  item.command = {
    command: 'loraWorkbench.openRun',
    title: vscode.l10n.t('Open Run'),
    arguments: [{ kind: 'run', id: run.id }],
  };
}

/** Tells of the end of a run with one action. */
export async function tellEnd({ run, ours }: JobEnd, services: Services): Promise<void> {
  if (!ours || isLive(run.state)) return;
  const { l10n, window, commands } = vscode;
  const node = { kind: 'run', id: run.id };
  if (run.state === 'finished' && services.settings.notifyWhenFinished) {
    const action = l10n.t('Inspect Adapter');
    const loss = run.evalLoss ?? run.result?.loss ?? run.loss;
    const text =
      loss === undefined
        ? l10n.t('{0} has finished.', run.name)
        : l10n.t('{0} has finished with a loss of {1}.', run.name, formatLoss(loss));
    const chosen = await window.showInformationMessage(text, action);
    if (chosen === action) await commands.executeCommand('loraWorkbench.inspectAdapter', run.result?.adapter);
  } else if (run.state === 'failed' && run.error !== undefined) {
    // Going on would run out of memory again; the run's page offers what needs less.
    const [action, command] =
      run.error.code === 'out-of-memory'
        ? [l10n.t('Open Run'), 'loraWorkbench.openRun']
        : run.checkpoints.length > 0
          ? [l10n.t('Resume'), 'loraWorkbench.resumeRun']
          : [l10n.t('Show Log'), 'loraWorkbench.showLog'];
    const chosen = await window.showErrorMessage(`${run.name}: ${shortText(run.error)}`, action);
    if (chosen === action) await commands.executeCommand(command, node);
  }
}
