// PTX text of one function body as nested statements: what the assembler's grammar says, without what instructions mean.

/** One instruction: `@!%p1 setp.lt.s32 %p2|%p3, %r1, 5;`. */
export interface Instruction {
  kind: 'instruction';
  /** Predicate that it runs under, `%p1` or `!%p1`. */
  guard: string | undefined;
  /** The mnemonic's parts: `['setp', 'lt', 's32']`. */
  parts: string[];
  operands: string[];
  text: string;
}
export interface Scope {
  kind: 'scope';
  statements: Statement[];
}
/** `.reg`, `.local`, `.param`, `.shared`, `.pragma`, `.loc`… without its semicolon. */
export interface Directive {
  kind: 'directive';
  text: string;
}
export interface Label {
  kind: 'label';
  name: string;
}
export type Statement = Instruction | Scope | Directive | Label;

/** @param text from the opening brace on. Returns the scope and where it ends. */
export function scopeAt(text: string, start: number): { scope: Scope; end: number } {
  const statements: Statement[] = [];
  let at = start + 1;
  for (;;) {
    at = skipSpace(text, at);
    const first = text[at];
    if (first === undefined) throw new Error('PTX ends inside a function.');
    if (first === '}') return { scope: { kind: 'scope', statements }, end: at + 1 };
    if (first === '{') {
      const inner = scopeAt(text, at);
      statements.push(inner.scope);
      at = inner.end;
      continue;
    }
    if (first === ';') {
      at++;
      continue;
    }
    const label = /[\w$]+:(?!:)/y;
    label.lastIndex = at;
    const found = label.exec(text)?.[0];
    if (found !== undefined) {
      statements.push({ kind: 'label', name: found.slice(0, -1) });
      at += found.length;
      continue;
    }
    const end = text.indexOf(';', at);
    statements.push(statement(text.slice(at, end)));
    at = end + 1;
  }
}

function skipSpace(text: string, start: number): number {
  let at = start;
  for (;;) {
    while (/\s/.test(text[at] ?? 'x')) at++;
    if (!text.startsWith('//', at)) return at;
    at = text.indexOf('\n', at) + 1;
  }
}

function statement(raw: string): Statement {
  const text = raw
    .replace(/\/\/.*/g, ' ')
    .replace(/\s+/g, ' ')
    .trim();
  if (text.startsWith('.')) return { kind: 'directive', text };
  const [, guard, mnemonic, rest] = /^(?:@(!?[\w%$]+) )?\s*([\w.:]+)\s*(.*)$/.exec(text) ?? [];
  if (mnemonic === undefined) throw new Error(`No PTX statement: ${text}`);
  return { kind: 'instruction', guard, parts: mnemonic.split('.'), operands: split(rest!), text };
}

/** At commas outside brackets. */
export function split(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let from = 0;
  for (let i = 0; i <= text.length; i++) {
    const c = text[i];
    if (c === undefined || (c === ',' && depth === 0)) {
      const part = text.slice(from, i).trim();
      if (part !== '') parts.push(part);
      from = i + 1;
    } else if ('[{('.includes(c)) depth++;
    else if (']})'.includes(c)) depth--;
  }
  return parts;
}
