// Failures → what a person reads: the log gets everything, a notification says what happened and offers the remedy.
import * as vscode from 'vscode';
import { reportOf as anyReport } from '../engine/errors';
import type { ErrorReport } from '../protocol/errors';
import { TrainerFault } from '../trainer/client';

/** The report of any failure; what is no UserError is our fault. */
export function reportOf(cause: unknown): ErrorReport {
  if (cause instanceof TrainerFault) return cause.report;
  // A UserError of the engine's own bundle is of another class with the same shape.
  if (cause instanceof Error && 'toReport' in cause && typeof cause.toReport === 'function')
    return cause.toReport() as ErrorReport;
  return anyReport(cause, vscode.l10n.t('Please report this with the log.'));
}

/** The whole report as text for the log. */
export function reportText(report: ErrorReport): string {
  const problems = (report.problems ?? []).map(
    ({ where, message, remedy }) =>
      `  ${where}: ${message}${remedy === undefined ? '' : `\n    → ${remedy}`}`,
  );
  const stack = report.facts?.stack;
  return [
    `[${report.code}] ${report.message}`,
    // Messages of several problems list them already.
    ...(problems.length > 0 && !report.message.includes('\n') ? problems : []),
    `  → ${report.remedy}`,
    ...(typeof stack === 'string' ? [stack] : []),
  ].join('\n');
}

/** One line for a notification: the first line of the message, and the remedy. */
export function shortText(report: ErrorReport): string {
  const first = report.message.split('\n', 1)[0] ?? '';
  const more = (report.problems?.length ?? 0) > 1 ? '' : ` ${report.remedy}`;
  return `${first}${more}`.slice(0, 400);
}

/** Logs a failure and tells of it with one action, unless an action of the caller's fits better. */
export function tell(
  cause: unknown,
  log: vscode.LogOutputChannel,
  action?: { title: string; run: () => unknown },
): void {
  const report = reportOf(cause);
  log.error(reportText(report));
  const offered = action ?? { title: vscode.l10n.t('Show Log'), run: () => log.show() };
  void vscode.window.showErrorMessage(shortText(report), offered.title).then((chosen) => {
    if (chosen === offered.title) void offered.run();
  });
}
