// Panels' sources → literals that a person reads and that go through neither `t` nor `plural`. It starts where something is
// shown (children of elements, labels, `textContent`) and goes back to where it comes from: branches, templates, arrays,
// constants, what functions return, arguments of parameters that are shown. Names of functions and methods stand for all of that
// name. What looks like a sentence is looked at wherever it stands.
import {
  isArrayBindingPattern,
  isArrayLiteralExpression,
  isAsExpression,
  isBinaryExpression,
  isBindingElement,
  isBlock,
  isCallExpression,
  isClassDeclaration,
  isConditionalExpression,
  isElementAccessExpression,
  isFunctionDeclaration,
  isIdentifier,
  isImportDeclaration,
  isLiteralTypeNode,
  isNewExpression,
  isNonNullExpression,
  isNoSubstitutionTemplateLiteral,
  isObjectLiteralExpression,
  isParameterDeclaration,
  isParenthesizedExpression,
  isPropertyAccessExpression,
  isPropertyAssignment,
  isReturnStatement,
  isSatisfiesExpression,
  isShorthandPropertyAssignment,
  isSpreadElement,
  isStringLiteral,
  isTemplateExpression,
  isVariableDeclaration,
  SyntaxKind,
} from 'typescript/unstable/ast';
import { collect, isFunction, keyOf } from './names.mjs';
import { sayingOf } from './said.mjs';
import { placeOf, walk } from './sources.mjs';

/** Attributes that are read or spoken, and the words of charts. */
const spokenAttributes = new Set([
  'aria-description',
  'aria-label',
  'aria-roledescription',
  'aria-valuetext',
  'alt',
  'endLabel',
  'label',
  'placeholder',
  'text',
  'title',
]);
const spokenProperties = new Set(['alt', 'ariaLabel', 'innerText', 'placeholder', 'textContent', 'title']);

/** What is shown and is no language: units, keys, formats, code that stands in a recipe or a file. */
const noLanguage = new Set([
  ...['GiB', 'MiB', 'KiB', 'min'],
  ...['Ctrl', 'Enter', 'Shift'],
  ...['CSV', 'PNG', 'fp32', 'ΔW'],
  // Values and keys of recipes and of sampling.
  ...['all-linear', 'device', 'seed', 'temperature'],
  // A picture of letters, for the colours of tokens.
  'ab',
]);

/**
 * Whether a text holds a word. Names with an underscore are code, and so are functions of a style sheet; single letters are
 * symbols; what begins with U+0000 is a key that nobody sees.
 */
function hasWord(text) {
  if (text.startsWith('\0') || /^[a-z-]+\(/.test(text)) return false;
  const words = text.match(/[\p{L}\p{N}_]+(?:[-.][\p{L}]+)*/gu) ?? [];
  return words.some((word) => /\p{L}{2}/u.test(word) && !word.includes('_') && !noLanguage.has(word));
}

/** Two words with a space between them, or one that begins like a heading. */
function looksLikeSentence(text) {
  return /\p{L}{2,}[,;:.]? \p{L}{2,}/u.test(text) || /^\p{Lu}\p{Ll}+[….:]?$/u.test(text);
}

/** Methods of lists and strings whose result is shown as what they are called on is. */
const passing = new Set([
  'at',
  'concat',
  'filter',
  'flat',
  'join',
  'pop',
  'replace',
  'replaceAll',
  'reverse',
  'slice',
  'sort',
  'trim',
]);
const mapping = new Set(['flatMap', 'map']);

/** Every bare text as `path:line: “text”`, sorted by place. */
export function bareTexts(sources) {
  const names = collect(sources);
  const found = new Map();
  const seen = new Set();
  const report = (source, node, text) => {
    if (hasWord(text))
      found.set(`${placeOf(source, node)}: “${text}” goes through neither t nor plural`, true);
  };
  const queue = [];
  const show = (source, node) => {
    if (node !== undefined && !seen.has(node)) {
      seen.add(node);
      queue.push([source, node]);
    }
  };
  const back = tracer(names, show, report);
  for (const source of sources)
    walk(source.file, (node) => {
      for (const shown of shownAt(node)) show(source, shown);
    });
  for (let next = queue.pop(); next !== undefined; next = queue.pop()) back(...next);
  for (const source of sources)
    walk(source.file, (node) => {
      const text = literalText(node);
      if (text !== undefined && looksLikeSentence(text) && !isQuiet(node)) report(source, node, text);
    });
  return [...found.keys()].sort();
}

/** What a node puts before a person's eyes or ears. */
function shownAt(node) {
  if (isCallExpression(node)) {
    const { expression: callee, arguments: given } = node;
    const name = isIdentifier(callee)
      ? callee.text
      : isPropertyAccessExpression(callee)
        ? callee.name.text
        : '';
    if (name === 'el') return given.slice(2);
    if (name === 'fill' && isIdentifier(callee)) return given.slice(1);
    if (name === 'fillText' || name === 'createTextNode') return given.slice(0, 1);
    if (name === 'setAttribute' && spokenAttributes.has(literalText(given[0]) ?? '')) return given.slice(1);
    return [];
  }
  if (isPropertyAssignment(node)) return spokenAttributes.has(keyOf(node)) ? [node.initializer] : [];
  if (isShorthandPropertyAssignment(node)) return spokenAttributes.has(node.name.text) ? [node.name] : [];
  if (isBinaryExpression(node) && node.operatorToken.kind === SyntaxKind.EqualsToken)
    return isPropertyAccessExpression(node.left) && spokenProperties.has(node.left.name.text)
      ? [node.right]
      : [];
  return [];
}

/** Goes one step back from what is shown. */
function tracer(names, show, report) {
  return function back(source, node) {
    const on = (next) => show(source, next);
    const text = literalText(node);
    if (text !== undefined) report(source, node, text);
    else if (isTemplateExpression(node)) {
      for (const part of [node.head, ...node.templateSpans.map(({ literal }) => literal)])
        report(source, part, part.text);
      for (const { expression } of node.templateSpans) on(expression);
    } else if (isConditionalExpression(node)) [node.whenTrue, node.whenFalse].forEach(on);
    else if (isBinaryExpression(node)) {
      if (shows(node.operatorToken.kind)) [node.left, node.right].forEach(on);
      else if (node.operatorToken.kind === SyntaxKind.AmpersandAmpersandToken) on(node.right);
    } else if (
      isParenthesizedExpression(node) ||
      isAsExpression(node) ||
      isSatisfiesExpression(node) ||
      isNonNullExpression(node) ||
      isSpreadElement(node)
    )
      on(node.expression);
    else if (isArrayLiteralExpression(node)) node.elements.forEach(on);
    else if (isIdentifier(node)) fromName(source, node);
    else if (isPropertyAccessExpression(node))
      for (const value of names.valuesOf(source, node.name.text)) on(value);
    else if (isElementAccessExpression(node)) fromEntry(source, node.expression);
    else if (isCallExpression(node)) fromCall(source, node);
  };

  /** A constant, or a parameter: then the arguments of all calls. */
  function fromName(source, node) {
    for (const declared of names.declared(source, node)) {
      if (isVariableDeclaration(declared)) show(source, declared.initializer);
      else if (isArrayBindingPattern(declared.parent))
        fromTuples(source, listOf(declared.parent.parent), declared.parent.elements.indexOf(declared));
      else if (isBindingElement(declared)) {
        const key = declared.propertyName?.text ?? declared.name.text;
        for (const value of names.valuesOf(source, key)) show(source, value);
      } else {
        show(source, listOf(declared));
        for (const [other, value] of names.argumentsOf(declared)) show(other, value);
      }
    }
  }

  /** Of a list of tuples what stands in one place of each. */
  function fromTuples(source, node, place) {
    if (node === undefined) return;
    const on = (next) => fromTuples(source, next, place);
    if (isArrayLiteralExpression(node))
      for (const element of node.elements) {
        const tuple = isAsExpression(element) ? element.expression : element;
        if (isArrayLiteralExpression(tuple)) show(source, tuple.elements[place]);
        else on(element);
      }
    else if (isSpreadElement(node) || isParenthesizedExpression(node) || isAsExpression(node))
      on(node.expression);
    else if (isConditionalExpression(node)) [node.whenTrue, node.whenFalse].forEach(on);
    else if (isIdentifier(node))
      for (const declared of names.declared(source, node)) {
        if (isVariableDeclaration(declared)) on(declared.initializer);
        else if (isParameterDeclaration(declared))
          for (const [other, value] of names.argumentsOf(declared)) fromTuples(other, value, place);
      }
  }

  /** One of an object's or a list's values. */
  function fromEntry(source, node) {
    if (isObjectLiteralExpression(node))
      for (const property of node.properties) show(source, property.initializer);
    else if (isArrayLiteralExpression(node)) for (const element of node.elements) show(source, element);
    else if (isElementAccessExpression(node) || isParenthesizedExpression(node) || isNonNullExpression(node))
      fromEntry(source, node.expression);
    else if (isIdentifier(node))
      for (const declared of names.declared(source, node))
        if (isVariableDeclaration(declared) && declared.initializer !== undefined) {
          walk(declared.initializer, (inner) => {
            if (isPropertyAssignment(inner)) show(source, inner.initializer);
          });
          if (isArrayLiteralExpression(declared.initializer)) show(source, declared.initializer);
        }
  }

  /** What a function returns; what goes into `t` beside the text. */
  function fromCall(source, node) {
    const saying = sayingOf(node);
    if (saying !== undefined) {
      for (const value of saying.values) show(source, value);
      return;
    }
    const { expression: callee } = node;
    if (isPropertyAccessExpression(callee)) {
      if (passing.has(callee.name.text)) show(source, callee.expression);
      if (/^replace/.test(callee.name.text)) show(source, node.arguments[1]);
      if (mapping.has(callee.name.text)) {
        for (const value of returned(node.arguments[0])) show(source, value);
        return;
      }
    }
    const name = isIdentifier(callee)
      ? callee.text
      : isPropertyAccessExpression(callee)
        ? callee.name.text
        : '';
    for (const [other, made] of names.functions(source, name))
      for (const value of returned(made)) show(other, value);
  }
}

/** The list whose entries a parameter stands for, where its function is given to `map` or its like. */
function listOf(parameter) {
  const call = parameter.parent?.parent;
  if (!isParameterDeclaration(parameter) || parameter.parent.parameters[0] !== parameter) return undefined;
  if (!isCallExpression(call) || !isPropertyAccessExpression(call.expression)) return undefined;
  return mapping.has(call.expression.name.text) ? call.expression.expression : undefined;
}

function shows(operator) {
  return (
    operator === SyntaxKind.PlusToken ||
    operator === SyntaxKind.BarBarToken ||
    operator === SyntaxKind.QuestionQuestionToken
  );
}

/** What a function may return; nothing of the functions inside of it. */
function returned(made) {
  if (made?.body === undefined) return [];
  if (!isBlock(made.body)) return [made.body];
  const found = [];
  const look = (node) => {
    if (isFunction(node) || isFunctionDeclaration(node) || isClassDeclaration(node)) return;
    if (isReturnStatement(node) && node.expression !== undefined) found.push(node.expression);
    node.forEachChild((child) => {
      look(child);
    });
  };
  look(made.body);
  return found;
}

function literalText(node) {
  return node !== undefined && (isStringLiteral(node) || isNoSubstitutionTemplateLiteral(node))
    ? node.text
    : undefined;
}

const quietCalls = new Set([
  'Error',
  'addEventListener',
  'closest',
  'matches',
  'querySelector',
  'querySelectorAll',
]);
const quietProperties = new Set(['background', 'border-color', 'class', 'className', 'height', 'width']);

/** Whether a literal stands where it says nothing to anybody: it is a key, a type, a path, a class, a selector, a translation. */
function isQuiet(node) {
  for (let at = node; at !== undefined; at = at.parent) {
    const { parent } = at;
    if (parent === undefined) return false;
    if (isLiteralTypeNode(parent) || isImportDeclaration(parent)) return true;
    if (isPropertyAssignment(parent)) return parent.name === at || quietProperties.has(keyOf(parent));
    if (isCallExpression(parent) || isNewExpression(parent)) {
      if (isCallExpression(parent) && sayingOf(parent)?.texts.includes(at)) return true;
      const { expression: callee } = parent;
      const name = isIdentifier(callee)
        ? callee.text
        : isPropertyAccessExpression(callee)
          ? callee.name.text
          : '';
      return quietCalls.has(name);
    }
    if (isBinaryExpression(parent) && comparisons.has(parent.operatorToken.kind)) return true;
  }
  return false;
}

const comparisons = new Set([
  SyntaxKind.EqualsEqualsEqualsToken,
  SyntaxKind.ExclamationEqualsEqualsToken,
  SyntaxKind.InKeyword,
]);
