// Calls that say a text → the texts, each a literal, and what is wrong with a call. In the extension `l10n.t('…', …values)`, in
// its panels `t('…', …values)` and `plural(n, 'one', 'many', …values)`.
import {
  isCallExpression,
  isIdentifier,
  isNoSubstitutionTemplateLiteral,
  isPropertyAccessExpression,
  isSpreadElement,
  isStringLiteral,
} from 'typescript/unstable/ast';
import { placeOf, walk } from './sources.mjs';

/** Where a call's texts stand and how many values it gives; undefined for any other call. */
export function sayingOf(call) {
  const { expression: callee, arguments: given } = call;
  const [first] = given;
  if (isIdentifier(callee) && callee.text === 't')
    return { texts: given.slice(0, 1), values: given.slice(1), own: 0 };
  if (isIdentifier(callee) && callee.text === 'plural')
    return { texts: given.slice(1, 3), values: given.slice(3), own: 1 };
  if (
    isPropertyAccessExpression(callee) &&
    callee.name.text === 't' &&
    /(^|\.)l10n$/.test(textOf(callee.expression))
  )
    return { texts: first === undefined ? [] : [first], values: given.slice(1), own: 0 };
  return undefined;
}

function textOf(node) {
  return isIdentifier(node)
    ? node.text
    : isPropertyAccessExpression(node)
      ? `${textOf(node.expression)}.${node.name.text}`
      : '';
}

/** The texts of a file, and its mistakes in words. */
export function saidIn(source) {
  const texts = [];
  const mistakes = [];
  walk(source.file, (node) => {
    const saying = isCallExpression(node) ? sayingOf(node) : undefined;
    if (saying === undefined || isDefinition(source)) return;
    for (const text of saying.texts) {
      if (!isStringLiteral(text) && !isNoSubstitutionTemplateLiteral(text)) {
        mistakes.push(`${placeOf(source, node)}: the text is no literal, so no tool finds it`);
        continue;
      }
      texts.push(text.text);
      const places = [...text.text.matchAll(/\{(\d+)\}/g)].map(([, index]) => Number(index));
      const given = saying.own + saying.values.length;
      if (!saying.values.some(isSpreadElement) && Math.max(-1, ...places) >= given)
        mistakes.push(`${placeOf(source, node)}: “${text.text}” has more places than values`);
    }
  });
  return { texts, mistakes };
}

/** The file that defines `t` and `plural`. */
function isDefinition({ path }) {
  return path === 'webview/shared/texts.ts';
}
