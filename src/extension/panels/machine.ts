// What this machine can do: each device tried with one training step. Until it has a page of its own, the report is text.
import * as vscode from 'vscode';
import { showText } from './fallback';
import type { Panel } from './registry';

export const machinePanel: Panel<'machine'> = {
  async open(_target, services) {
    const title = vscode.l10n.t('Checking this machine');
    const report = await services.calls.callWithProgress(title, 'doctor', { device: null });
    await showText(JSON.stringify(report, null, 2), 'json');
  },
};
