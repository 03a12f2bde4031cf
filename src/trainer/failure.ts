// Any failure inside the trainer → its report.
import { UserError } from '../engine/errors';
import type { ErrorReport } from '../protocol/errors';

/** The report of a failure; what is no UserError is our fault. */
export function reportOf(cause: unknown): ErrorReport {
  if (cause instanceof UserError) return cause.toReport();
  const error = cause instanceof Error ? cause : new Error(String(cause));
  return {
    code: 'internal-error',
    message: error.message,
    remedy: 'Please report this with the text above and the recipe.',
    facts: { stack: error.stack ?? null },
  };
}
