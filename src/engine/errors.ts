// Failures that a person can mend (UserError and its stages) and broken promises of our own code (invariant).
import type { ErrorReport, Problem } from '../protocol/errors';

export interface UserErrorOptions {
  /** Stable, kebab-case, for example `checkpoint-missing-tensor`. */
  code: string;
  /** What happened, where, expected against found. */
  message: string;
  /** One imperative sentence that mends it. */
  remedy: string;
  problems?: Problem[];
  facts?: Record<string, string | number | boolean | null>;
  cause?: unknown;
}

/** A mistake in what we were given or in the machine's state. The terminal exits with 2 on it. */
export class UserError extends Error {
  readonly code: string;
  readonly remedy: string;
  readonly problems: readonly Problem[];
  readonly facts: Record<string, string | number | boolean | null>;

  constructor(options: UserErrorOptions) {
    super(options.message, { cause: options.cause });
    this.name = new.target.name;
    this.code = options.code;
    this.remedy = options.remedy;
    this.problems = options.problems ?? [];
    this.facts = options.facts ?? {};
  }

  /** The report that crosses process boundaries. */
  toReport(): ErrorReport {
    return {
      code: this.code,
      message: this.message,
      remedy: this.remedy,
      ...(this.problems.length > 0 ? { problems: [...this.problems] } : {}),
      ...(Object.keys(this.facts).length > 0 ? { facts: { ...this.facts } } : {}),
    };
  }

  static fromReport(report: ErrorReport): UserError {
    return new UserError(report);
  }
}

/** A checkpoint, its config or its weights. */
export class CheckpointError extends UserError {}
/** A dataset, its rows, a tokenizer or a chat template. */
export class DataError extends UserError {}
/** A recipe, a setting or a command-line option. */
export class RecipeError extends UserError {}
/** An adapter's files or settings. */
export class AdapterError extends UserError {}
/** The runtime: libraries, devices, memory. */
export class SessionError extends UserError {}
/** A run: non-finite loss, disk, resume. */
export class RunError extends UserError {}

/** The report of any failure; what is no UserError is our fault, and `remedy` says with what it can be reported. */
export function reportOf(
  cause: unknown,
  remedy = 'Please report this with its recipe or file.',
): ErrorReport {
  if (cause instanceof UserError) return cause.toReport();
  const error = cause instanceof Error ? cause : new Error(String(cause));
  return {
    code: 'internal-error',
    message: error.message,
    remedy,
    facts: { stack: error.stack ?? null },
  };
}

/** Raises the one problem as itself, or several as a list under a common heading. */
export function raiseProblems(
  ErrorClass: new (options: UserErrorOptions) => UserError,
  code: string,
  heading: string,
  problems: Problem[],
  remedy?: string,
): void {
  if (problems.length === 0) return;
  const lines = problems.map((p) => `  ${p.where}: ${p.message}`);
  throw new ErrorClass({
    code,
    message: `${heading}\n${lines.join('\n')}`,
    remedy: remedy ?? problems[0]?.remedy ?? 'Mend the listed problems and try again.',
    problems,
  });
}

/** States what must hold whatever the input; a failure is our bug and is shown as one. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`LoRA Workbench broke its own rule: ${message}. Please report this.`);
}
