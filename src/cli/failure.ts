// A failure → its report on standard error and the exit code: 2 for what the user can mend, 1 for a fault of ours.

import { reportOf, UserError } from '../engine/errors';
import type { ErrorReport } from '../protocol/errors';
import { TrainerFault } from '../trainer/client';
import { printable, type Terminal } from './terminal';

export const exitCodes = { ok: 0, fault: 1, mistake: 2, interrupted: 130 } as const;

/** Prints a failure, as JSON with --json; returns the exit code. */
export function reportFailure(cause: unknown, terminal: Terminal): number {
  const { report, code } = classify(cause);
  if (terminal.json) {
    terminal.error(JSON.stringify({ error: report }, null, 2));
    return code;
  }
  const [first = '', ...rest] = report.message.split('\n');
  terminal.error(`${terminal.style('red', 'Error:', 'stderr')} ${printable(first)}`);
  if (report.problems === undefined || report.problems.length === 0) {
    for (const line of rest) terminal.error(printable(line));
  } else {
    for (const { where, message, remedy } of report.problems) {
      terminal.error(`  ${terminal.style('bold', printable(where), 'stderr')}: ${printable(message)}`);
      if (remedy !== undefined) terminal.error(`    → ${printable(remedy)}`);
    }
  }
  const told = report.problems?.some((problem) => problem.remedy === report.remedy) ?? false;
  if (!told) terminal.error(`${terminal.style('bold', 'What to do:', 'stderr')} ${printable(report.remedy)}`);
  const stack = report.facts?.stack;
  if (typeof stack === 'string') terminal.error(terminal.style('dim', printable(stack), 'stderr'));
  return code;
}

function classify(cause: unknown): { report: ErrorReport; code: number } {
  if (cause instanceof UserError) return { report: cause.toReport(), code: exitCodes.mistake };
  if (cause instanceof TrainerFault) return { report: cause.report, code: exitCodes.fault };
  const report = reportOf(cause, 'Please report this with the text above and the command.');
  return { report, code: exitCodes.fault };
}
