// What this machine can do: each device tried with one training step. Until it has a page of its own, the report is text.
import * as vscode from 'vscode';
import type { DoctorDevice, DoctorResult } from '../../protocol/trainer';
import { formatBytes } from '../words';
import { showText } from './fallback';
import type { Panel } from './registry';

export const machinePanel: Panel<'machine'> = {
  async open(_target, services) {
    const title = vscode.l10n.t('Checking this machine');
    const report = await services.calls.callWithProgress(title, 'doctor', { device: null });
    await showText(machineText(report));
  },
};

/** The report as lines that can be copied. */
function machineText(report: DoctorResult): string {
  const { l10n } = vscode;
  const runtime =
    report.runtime === null
      ? l10n.t('ONNX Runtime does not load')
      : l10n.t('ONNX Runtime {0}', report.runtime);
  return [
    `LoRA Workbench ${report.version}, Node ${report.node}, ${report.platform}, ${runtime}`,
    l10n.t('{0} cores, {1} of memory', report.cores, formatBytes(report.memoryBytes)),
    '',
    ...report.devices.flatMap(deviceLines),
    ...(report.cuda === null ? [] : ['', report.cuda.text]),
    '',
  ].join('\n');
}

function deviceLines({
  device,
  provider,
  available,
  memoryBytes,
  trainingStep,
  problem,
}: DoctorDevice): string[] {
  const { l10n } = vscode;
  const state =
    available && trainingStep?.ok === true ? l10n.t('works') : available ? l10n.t('fails') : l10n.t('absent');
  const facts = [
    state,
    ...(memoryBytes === null ? [] : [formatBytes(memoryBytes)]),
    ...(trainingStep === null
      ? []
      : [l10n.t('a training step took {0} ms', Math.round(trainingStep.milliseconds))]),
  ];
  return [
    `${device} (${provider}): ${facts.join(', ')}`,
    ...(problem === null ? [] : [`  ${problem.where}: ${problem.message}`]),
    ...(problem?.remedy === undefined ? [] : [`  → ${problem.remedy}`]),
  ];
}
