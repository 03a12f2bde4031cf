// Names in sources → what they stand for: functions, declarations in their scopes, values of properties, arguments of parameters.
// Names of exported functions and of methods stand for all of that name, in whatever file.
import {
  isArrowFunction,
  isBinaryExpression,
  isBindingElement,
  isBlock,
  isCallExpression,
  isConstructorDeclaration,
  isFunctionDeclaration,
  isFunctionExpression,
  isIdentifier,
  isMethodDeclaration,
  isNewExpression,
  isParameterDeclaration,
  isPropertyAccessExpression,
  isPropertyAssignment,
  isPropertyDeclaration,
  isStringLiteral,
  isVariableDeclaration,
  SyntaxKind,
} from 'typescript/unstable/ast';
import { walk } from './sources.mjs';

/** Properties that name something for the program; where such a name is shown, it is code. */
const identifying = new Set(['id', 'key', 'kind']);

/** Names of the sources: functions, declarations, values of properties, arguments of parameters. */
export function collect(sources) {
  const functions = new Map();
  const calls = new Map();
  const declarations = new Map();
  const values = new Map();
  const add = (map, key, value) => map.set(key, [...(map.get(key) ?? []), value]);
  for (const source of sources) {
    const declared = new Map();
    const assigned = new Map();
    declarations.set(source.path, declared);
    values.set(source.path, assigned);
    walk(source.file, (node) => {
      const name = functionName(node);
      if (name !== undefined) add(functions, name, [source, node]);
      if (isVariableDeclaration(node) && isIdentifier(node.name)) {
        add(declared, node.name.text, node);
        if (node.initializer !== undefined && isFunction(node.initializer))
          add(functions, node.name.text, [source, node.initializer]);
      } else if (isBindingElement(node) && node.name !== undefined && isIdentifier(node.name))
        add(declared, node.name.text, node);
      else if (isParameterDeclaration(node) && isIdentifier(node.name)) add(declared, node.name.text, node);
      else if (isPropertyAssignment(node)) {
        add(assigned, keyOf(node), node.initializer);
        if (isFunction(node.initializer)) add(functions, keyOf(node), [source, node.initializer]);
      } else if (isPropertyDeclaration(node) && node.initializer !== undefined)
        add(assigned, node.name.text, node.initializer);
      else if (
        isBinaryExpression(node) &&
        node.operatorToken.kind === SyntaxKind.EqualsToken &&
        isPropertyAccessExpression(node.left)
      )
        add(assigned, node.left.name.text, node.right);
      else if (isCallExpression(node) || isNewExpression(node)) {
        const { expression: callee } = node;
        const called = isIdentifier(callee)
          ? callee.text
          : isPropertyAccessExpression(callee)
            ? callee.name.text
            : undefined;
        if (called !== undefined) add(calls, called, [source, node]);
      }
    });
  }
  return {
    functions: (source, name) =>
      (functions.get(name) ?? []).filter(([other, made]) => other === source || isSeenOutside(made)),
    declared: (source, use) => innermost(declarations.get(source.path).get(use.text) ?? [], use),
    valuesOf: (source, name) => (identifying.has(name) ? [] : (values.get(source.path).get(name) ?? [])),
    argumentsOf(parameter) {
      const owner = parameter.parent;
      const index = owner.parameters.indexOf(parameter);
      const name = isConstructorDeclaration(owner) ? owner.parent.name?.text : nameOf(owner);
      if (name === undefined || index < 0) return [];
      const within = isSeenOutside(owner) ? undefined : sourceFileOf(owner);
      return (calls.get(name) ?? []).flatMap(([source, call]) => {
        if (within !== undefined && within !== source.file) return [];
        const given = call.arguments ?? [];
        const taken =
          parameter.dotDotDotToken === undefined ? given.slice(index, index + 1) : given.slice(index);
        return taken.map((value) => [source, value]);
      });
    },
  };
}

/** Whether other files may call it: all but functions that a file keeps for itself. */
function isSeenOutside(made) {
  if (isFunctionDeclaration(made))
    return made.modifiers?.some(({ kind }) => kind === SyntaxKind.ExportKeyword) === true;
  const { parent } = made;
  if (!isFunction(made) || !isVariableDeclaration(parent)) return true;
  const statement = parent.parent.parent;
  return statement.modifiers?.some(({ kind }) => kind === SyntaxKind.ExportKeyword) === true;
}

function sourceFileOf(node) {
  let at = node;
  while (at.parent !== undefined) at = at.parent;
  return at;
}

/** Of declarations of a name those that hold where it is used: the ones of the innermost scope. */
function innermost(declared, use) {
  let found = [];
  let best = Number.POSITIVE_INFINITY;
  for (const one of declared) {
    const scope = scopeOf(one);
    if (use.pos < scope.pos || use.end > scope.end) continue;
    const size = scope.end - scope.pos;
    if (size < best) found = [];
    if (size <= best) found.push(one);
    best = Math.min(best, size);
  }
  return found;
}

/** The block or function in which a declaration holds. */
function scopeOf(declared) {
  let at = declared.parent;
  while (at.parent !== undefined && !isBlock(at) && at.parameters === undefined) at = at.parent;
  return at;
}

export function isFunction(node) {
  return isArrowFunction(node) || isFunctionExpression(node);
}

function functionName(node) {
  return isFunctionDeclaration(node) || isMethodDeclaration(node) ? node.name?.text : undefined;
}

/** The name under which a function is called: its own, or that of the constant or property that holds it. */
function nameOf(made) {
  if (isFunctionDeclaration(made) || isMethodDeclaration(made)) return made.name?.text;
  const { parent } = made;
  if (isVariableDeclaration(parent) && isIdentifier(parent.name)) return parent.name.text;
  return isPropertyAssignment(parent) ? keyOf(parent) : undefined;
}

/** The name of a property. */
export function keyOf({ name }) {
  return isIdentifier(name) || isStringLiteral(name) ? name.text : '';
}
