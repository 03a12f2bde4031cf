// Commands about this machine's devices.
import * as vscode from 'vscode';
import type { Command } from '../commands';
import { showText } from '../panels/fallback';
import { reportOf } from '../report';
import type { Services } from '../services';

export const machineCommands: Readonly<Record<string, Command>> = {
  /** Fetches from the network, or takes what the user chooses; then one training step on the GPU beside the CPU's numbers. */
  installCuda: async (services) => {
    const from = await chooseSource();
    if (from === undefined) return;
    const result = await install(services, from.path);
    if (result === undefined) return;
    const lines = [result.report.text];
    let summary: string;
    if (result.report.ready) {
      const title = vscode.l10n.t('Trying a training step on the GPU');
      const { devices } = await services.calls.callWithProgress(title, 'doctor', { device: 'cuda' });
      const [device] = devices;
      const step = device?.trainingStep ?? null;
      summary =
        step?.ok === true
          ? result.changed || result.libraries.length > 0
            ? vscode.l10n.t('CUDA works: a training step on {0} agrees with the CPU.', device!.device)
            : vscode.l10n.t(
                'The CUDA files were there already, and they work: a training step on {0} agrees with the CPU.',
                device!.device,
              )
          : vscode.l10n.t('CUDA is installed, but a training step on the GPU failed.');
      if (device?.problem) lines.push(`${device.problem.message}\n→ ${device.problem.remedy ?? ''}`);
    } else {
      summary = vscode.l10n.t(
        'The CUDA files are installed. No training step was tried on the GPU, because something is missing.',
      );
    }
    const [copy, show] = [vscode.l10n.t('Copy Report'), vscode.l10n.t('Show Report')];
    const chosen = await vscode.window.showInformationMessage(summary, copy, show);
    const text = `${summary}\n${lines.join('\n')}\n`;
    if (chosen === copy) await vscode.env.clipboard.writeText(text);
    if (chosen === show) await showText(text);
  },
};

/** Undefined where the user changed their mind; a null path fetches. */
async function chooseSource(): Promise<{ path: string | null } | undefined> {
  const fetch = {
    label: vscode.l10n.t('Fetch them'),
    detail: vscode.l10n.t('250 MB from NuGet or PyPI, and what is missing of CUDA from NVIDIA, up to 1 GB'),
  };
  const file = { label: vscode.l10n.t('Take them from a wheel or an archive…'), detail: '' };
  const folder = { label: vscode.l10n.t('Take them from a folder…'), detail: '' };
  const placeHolder = vscode.l10n.t('The files that CUDA needs of ONNX Runtime');
  const chosen = await vscode.window.showQuickPick([fetch, file, folder], { placeHolder });
  if (chosen === undefined) return undefined;
  if (chosen === fetch) return { path: null };
  const [picked] =
    (await vscode.window.showOpenDialog({
      canSelectFiles: chosen === file,
      canSelectFolders: chosen === folder,
      title: placeHolder,
      ...(chosen === file
        ? { filters: { [vscode.l10n.t('Packages')]: ['whl', 'nupkg', 'zip', 'tgz', 'gz'] } }
        : {}),
    })) ?? [];
  return picked === undefined ? undefined : { path: picked.fsPath };
}

/** Undefined where it was cancelled, which needs no report. */
async function install(services: Services, from: string | null) {
  try {
    const title = vscode.l10n.t('Installing CUDA for ONNX Runtime');
    return await services.calls.callWithProgress(title, 'installCuda', { from, libraries: from === null });
  } catch (cause) {
    if (reportOf(cause).code === 'cancelled') return undefined;
    throw cause;
  }
}
