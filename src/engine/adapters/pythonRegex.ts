// Runs the regular expressions of Python's `re` that adapter settings hold against module paths. Patterns come from strangers: translated, refused where the dialects differ, and stopped when they run away.
import * as vm from 'node:vm';
import type { Problem } from '../../protocol/errors';
import { AdapterError, raiseProblems } from '../errors';

/** A translated pattern, still data. */
export interface PythonRegex {
  pattern: string;
  source: string;
  flags: string;
}

/** What a pattern has that JavaScript does not do alike. */
export class RegexRefusal extends Error {}

const maxLength = 20_000;
/** For all paths of one call together, in milliseconds; an honest pattern takes less than one. */
const patience = 2000;

/** How a pattern is laid against a path, as Python's functions of these names do. */
const anchors = {
  fullmatch: (source: string) => `^(?:${source})$`,
  match: (source: string) => `^(?:${source})`,
};

/** Escapes that mean the same in both dialects. */
const sharedEscapes = new Set([...'bBdDsSwWfnrtvx']);
const refusedGroups: [RegExp, string][] = [
  [/^\(\?>/, 'an atomic group (?>…)'],
  [/^\(\?\(/, 'a conditional group (?(…)…)'],
  [/^\(\?[aiLmsux]*-?[imsx]*:/, 'a group with flags of its own (?i:…)'],
];

/**
 * Translates a Python pattern. Throws RegexRefusal, whose message completes "the pattern …", for what JavaScript cannot
 * do or would do differently.
 */
export function translate(pattern: string): PythonRegex {
  if (pattern.length > maxLength) {
    throw new RegexRefusal(`has ${pattern.length} characters; at most ${maxLength} are read`);
  }
  let flags = '';
  const start = /^\(\?([aiLmsux]+)\)/.exec(pattern);
  if (start) {
    if (/[Lxm]/.test(start[1]!))
      throw new RegexRefusal(`uses the flags (?${start[1]}), of which only i, s, a and u are read`);
    flags = [...new Set(start[1]!.replace(/[au]/g, ''))].join('');
  }
  let source = '';
  let i = start ? start[0].length : 0;
  while (i < pattern.length) {
    const rest = pattern.slice(i, i + 200);
    const c = pattern[i]!;
    if (c === '\\') {
      const [text, length] = translateEscape(rest);
      source += text;
      i += length;
    } else if (c === '[') {
      const [text, length] = translateClass(pattern, i);
      source += text;
      i += length;
    } else if (rest.startsWith('(?P<')) {
      source += '(?<';
      i += 4;
    } else if (rest.startsWith('(?P=')) {
      const name = /^\(\?P=(\w+)\)/.exec(rest);
      if (!name) throw new RegexRefusal('has a broken reference (?P=…)');
      source += `\\k<${name[1]}>`;
      i += name[0].length;
    } else if (rest.startsWith('(?#')) {
      const end = pattern.indexOf(')', i);
      if (end < 0) throw new RegexRefusal('has a comment without an end');
      i = end + 1;
    } else if (rest.startsWith('(?')) {
      const refused = rest.startsWith('(?:') ? undefined : refusedGroups.find(([form]) => form.test(rest));
      if (refused) throw new RegexRefusal(`uses ${refused[1]}, which is not supported`);
      if (!/^\(\?(:|=|!|<=|<!)/.test(rest))
        throw new RegexRefusal(`has ${rest.slice(0, 4)}, which is no group of Python's`);
      source += '(?';
      i += 2;
    } else if (/^(?:[*+?]|\{\d*,?\d*\})\+/.test(rest)) {
      throw new RegexRefusal('uses a possessive quantifier, which is not supported');
    } else if (/^\{,\d+\}/.test(rest)) {
      source += '{0'; // Python's {,n}
      i += 1;
    } else {
      source += c;
      i += 1;
    }
  }
  try {
    new RegExp(source, flags);
  } catch (error) {
    throw new RegexRefusal(`is no valid regular expression (${error instanceof Error ? error.message : ''})`);
  }
  return { pattern, source, flags };
}

function translateEscape(rest: string): [text: string, length: number] {
  const next = rest[1];
  if (next === undefined) throw new RegexRefusal('ends with a lone backslash');
  if (next === 'A') return ['^', 2];
  if (next === 'Z') return ['$', 2];
  if (next === 'a') return ['\\x07', 2];
  if (next === 'u' && /^\\u[0-9a-fA-F]{4}/.test(rest)) return [rest.slice(0, 6), 6];
  if (next === '0') throw new RegexRefusal('uses an octal escape, which is not supported');
  if (/[a-zA-Z]/.test(next) && !sharedEscapes.has(next)) {
    throw new RegexRefusal(`has the escape \\${next}, which Python does not know or which is not supported`);
  }
  return [rest.slice(0, 2), 2];
}

/** A character class from its bracket on. A "]" that comes first is an ordinary character in Python. */
function translateClass(pattern: string, from: number): [text: string, length: number] {
  let i = from + 1;
  let text = '[';
  if (pattern[i] === '^') {
    text += '^';
    i++;
  }
  for (let first = true; ; first = false) {
    const c = pattern[i];
    if (c === undefined) throw new RegexRefusal('has a character class without an end');
    if (c === ']' && !first) return [`${text}]`, i + 1 - from];
    if (c === '\\') {
      const [escaped, length] = translateEscape(pattern.slice(i, i + 8));
      text += escaped;
      i += length;
    } else {
      text += c === ']' || c === '[' ? `\\${c}` : c;
      i++;
    }
  }
}

/** Plain dotted names and the anchored wildcards around them cannot run away; they need no watchdog. */
function isHarmless(source: string): boolean {
  return /^[\w.|\\-]*$/.test(source) || /^\(\.\*\\\.\)\?\([\w.|\\-]*\)\$$/.test(source);
}

/**
 * Which of `subjects` each pattern accepts: one boolean list per pattern. A pattern that backtracks beyond reason is
 * stopped and raised as an AdapterError naming `setting`.
 */
export function matchAll(
  regexes: readonly PythonRegex[],
  how: keyof typeof anchors,
  subjects: readonly string[],
  setting: string,
): boolean[][] {
  return regexes.map(({ pattern, source, flags }) => {
    const anchored = anchors[how](source);
    if (isHarmless(source)) {
      const regex = new RegExp(anchored, flags);
      return subjects.map((subject) => regex.test(subject));
    }
    try {
      // The code is ours; the pattern enters as data. A context of its own is what lets V8 stop a match midway.
      const matched: unknown = vm.runInNewContext(
        'const regex = new RegExp(source, flags); subjects.map((subject) => regex.test(subject))',
        { source: anchored, flags, subjects: [...subjects] },
        { timeout: patience },
      );
      return Array.from(matched as ArrayLike<boolean>);
    } catch (error) {
      throw new AdapterError({
        code: 'regex-runs-away',
        message: `${setting}: the pattern ${JSON.stringify(pattern.slice(0, 200))} tries too many ways to match a module path.`,
        remedy: 'Write it without a repetition inside a repetition, or list the module names instead.',
        cause: error,
      });
    }
  });
}

/** Translates the patterns of one setting, or raises one AdapterError that lists all that were refused. */
export function compileAll(patterns: readonly string[], setting: string): PythonRegex[] {
  const problems: Problem[] = [];
  const compiled = patterns.flatMap((pattern) => {
    try {
      return [translate(pattern)];
    } catch (error) {
      if (!(error instanceof RegexRefusal)) throw error;
      problems.push({
        where: setting,
        message: `the pattern ${JSON.stringify(pattern.slice(0, 200))} ${error.message}`,
      });
      return [];
    }
  });
  raiseProblems(
    AdapterError,
    'regex-unsupported',
    'Some patterns cannot be used:',
    problems,
    'Write the pattern in a simpler way, or list the module names instead.',
  );
  return compiled;
}
