// The one shape in which a failure crosses a process boundary or reaches a person.

/** One problem of an input; a report carries every problem found, not the first. */
export interface Problem {
  /** Where it is: a file, line, row, key or tensor name. */
  where: string;
  /** What is wrong, with the found and the expected value. */
  message: string;
  /** One imperative sentence that mends it. */
  remedy?: string;
}

/** A failure as data. `code` is stable and kebab-case, `remedy` is one imperative sentence. */
export interface ErrorReport {
  code: string;
  message: string;
  remedy: string;
  problems?: Problem[];
  facts?: Record<string, string | number | boolean | null>;
}
