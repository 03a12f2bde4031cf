// Numbers and states as people read them. Pure but for the language.
import * as vscode from 'vscode';
import type { RunRecord } from './runs/runRecord';

const { l10n } = vscode;

/** 1,536 → `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** 95 → `2 min`, 45 → `45 s`. */
export function formatDuration(seconds: number): string {
  if (seconds < 60) return l10n.t('{0} s', Math.max(0, Math.round(seconds)));
  const minutes = Math.round(seconds / 60);
  return minutes < 60
    ? l10n.t('{0} min', minutes)
    : l10n.t('{0} h {1} min', Math.floor(minutes / 60), minutes % 60);
}

export function formatLoss(loss: number): string {
  return loss.toFixed(3);
}

export function percent(run: RunRecord): number | undefined {
  return run.totalSteps ? Math.floor((100 * run.step) / run.totalSteps) : undefined;
}

/** `65 %, 18 min left`; for a run that has ended, how. */
export function shortState(run: RunRecord): string {
  switch (run.state) {
    case 'waiting':
      return l10n.t('waiting for the device');
    case 'starting':
      return run.phase ?? l10n.t('starting');
    case 'stopping':
      return l10n.t('saving and stopping');
    case 'paused':
      return l10n.t('paused at step {0}', run.step.toLocaleString('en'));
    case 'running': {
      const share = percent(run);
      if (share === undefined || run.loss === undefined) return run.phase ?? l10n.t('starting');
      const left = run.etaSeconds === undefined ? '' : l10n.t(', {0} left', formatDuration(run.etaSeconds));
      return `${share} %${left}`;
    }
    case 'finished':
      return run.evalLoss === undefined
        ? l10n.t('loss {0}', formatLoss(run.result?.loss ?? run.loss ?? Number.NaN))
        : l10n.t('eval {0}', formatLoss(run.evalLoss));
    case 'stopped':
      return l10n.t('stopped at step {0}', run.step.toLocaleString('en'));
    case 'failed':
      if (run.error?.code === 'trainer-died')
        return l10n.t('killed after step {0}', run.step.toLocaleString('en'));
      return (run.error?.message ?? l10n.t('failed')).split('\n', 1)[0]!.slice(0, 80);
  }
}

/** `step 864 of 1,323 · loss 0.446 · 18 min left`. */
export function progressText(run: RunRecord): string {
  if (run.loss === undefined || run.totalSteps === undefined) return shortState(run);
  const parts = [
    l10n.t('step {0} of {1}', run.step.toLocaleString('en'), run.totalSteps.toLocaleString('en')),
    l10n.t('loss {0}', formatLoss(run.loss)),
  ];
  if (run.etaSeconds !== undefined) parts.push(l10n.t('{0} left', formatDuration(run.etaSeconds)));
  return parts.join(' · ');
}

/** A tooltip: everything that is known. */
export function runTooltip(run: RunRecord): vscode.MarkdownString {
  const lines: string[] = [`**${escapeMarkdown(run.name)}** · ${escapeMarkdown(shortState(run))}`];
  const add = (label: string, value: string | undefined): void => {
    if (value !== undefined) lines.push(`${label}: ${value}`);
  };
  add(l10n.t('Step'), run.totalSteps === undefined ? undefined : `${run.step} / ${run.totalSteps}`);
  add(l10n.t('Loss'), run.loss === undefined ? undefined : formatLoss(run.loss));
  add(l10n.t('Eval loss'), run.evalLoss === undefined ? undefined : formatLoss(run.evalLoss));
  add(
    l10n.t('Speed'),
    run.tokensPerSecond === undefined ? undefined : l10n.t('{0} tokens/s', Math.round(run.tokensPerSecond)),
  );
  const onDevice = run.plan !== undefined && run.plan.device !== 'cpu';
  add(
    onDevice ? l10n.t('System memory peak') : l10n.t('Memory peak'),
    run.peakMemoryBytes === undefined ? undefined : formatBytes(run.peakMemoryBytes),
  );
  add(l10n.t('Folder'), run.folder === undefined ? undefined : escapeMarkdown(run.folder));
  if (run.error !== undefined)
    lines.push(escapeMarkdown(run.error.message), `→ ${escapeMarkdown(run.error.remedy)}`);
  return new vscode.MarkdownString(lines.join('  \n'));
}

/** What comes from files is shown as text, never as markup. */
export function escapeMarkdown(text: string): string {
  return text.replace(/[\\`*_{}[\]()#+\-.!<>|&~]/g, '\\$&');
}
