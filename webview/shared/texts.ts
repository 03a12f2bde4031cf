// The page's texts in the editor's language. In: an English text, which is its own key, and values for {0}, {1} …; out: what
// a person reads. The extension puts the translation into the page; where there is no page (tests), texts stay English.
import { type PageTexts, textsElement } from '../../src/protocol/webview';

/** As much of a document as is needed here: this file is also used where there is none. */
interface Holder {
  document?: { getElementById(id: string): { textContent: string | null } | null };
}

const english: PageTexts = { language: 'en', bundle: {} };
let texts: PageTexts | undefined;

function read(): PageTexts {
  const json = (globalThis as Holder).document?.getElementById(textsElement)?.textContent;
  if (!json) return english;
  const { language, bundle } = JSON.parse(json) as PageTexts;
  try {
    return { language: Intl.getCanonicalLocales(language)[0] ?? english.language, bundle };
  } catch {
    // The editor may run in a language that Intl has no name for.
    return { language: english.language, bundle };
  }
}

/** What the page speaks, for Intl. */
export function language(): string {
  texts ??= read();
  return texts.language;
}

/** A text in the editor's language: `t('step {0} of {1}', 3, 8)`. The text is a literal, so that scripts/texts.mjs finds it. */
export function t(text: string, ...values: readonly (string | number)[]): string {
  texts ??= read();
  const said = Object.hasOwn(texts.bundle, text) ? texts.bundle[text]! : text;
  return said.replace(/\{(\d+)\}/g, (place, index: string) => String(values[Number(index)] ?? place));
}

/** `plural(n, '1 row', '{0} rows')`: {0} is the number, {1} and on are the further values. */
export function plural(
  count: number,
  one: string,
  many: string,
  ...values: readonly (string | number)[]
): string {
  return t(count === 1 ? one : many, Math.round(count).toLocaleString(language()), ...values);
}
