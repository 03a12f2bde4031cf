// What the extension may tell a page, so that most of what it can say is said. Words that come from files are Cyrillic here: a
// Latin word on a page is the page's own.

export interface Told {
  /** What the page is told, in order. */
  news: readonly (readonly [type: string, content: unknown])[];
  /** Results of its requests. */
  answers?: Record<string, unknown>;
}

export const word = 'слово';
export const failure = { code: 'x', message: word, remedy: word };
