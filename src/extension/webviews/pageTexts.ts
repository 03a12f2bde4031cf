// The element of a page that holds its texts. Texts in, markup out; it knows no editor.
import { type PageTexts, textsElement } from '../../protocol/webview';

/**
 * The texts of a page in an editor of this language. Without a translation the page is English, and so are its numbers: “1.323
 * steps” would be misread.
 */
export function pageTexts(language: string, bundle: PageTexts['bundle'] | undefined): PageTexts {
  return bundle === undefined ? { language: 'en', bundle: {} } : { language, bundle };
}

/** JSON that stays inside of its element whatever a translation holds. It is data: the content security policy runs none of it. */
export function textsBlock(texts: PageTexts): string {
  const json = JSON.stringify(texts).replaceAll('<', '\\u003c');
  return `<script type="application/json" id="${textsElement}">${json}</script>`;
}
