// The one shape in which a failure crosses a process boundary or reaches a person.

/** One problem of an input; a report carries every problem found, not the first. */
export interface Problem {
  /** Where it is: a file, line, row, key or tensor name. */
  where: string;
  /** What is wrong, with the found and the expected value. */
  message: string;
  /** One imperative sentence that mends it. */
  remedy?: string;
  /** Changes of settings, each of which mends it: what a button can carry out. */
  mends?: readonly Mend[];
}

/** One change of a recipe: a key under another name, with another value, or taken out where neither is given. */
export type Mend = { key: string; rename?: string; value?: string | number | boolean };

/** A failure as data. `code` is stable and kebab-case, `remedy` is one imperative sentence. */
export interface ErrorReport {
  code: string;
  message: string;
  remedy: string;
  problems?: Problem[];
  facts?: Record<string, string | number | boolean | null>;
}
